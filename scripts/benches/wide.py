"""Time by the number of columns: a CSV file of 200 rows, from reading to predicting.

One worker with one thread trains two trials of three epochs of a small network. The better trial is
exported, proof and model card included, and predicts on the file's rows. Times are CPU seconds,
which other programs affect little. `create` includes reading the file.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars
import torch

import hpo
from hpo.config.trial import DataConfig
from hpo.data.table import read_table
from hpo.lifecycle.creation import create_from_file
from hpo.results.export import export
from hpo.training.single import SingleTrainer
from tests.support.workers import make_worker

N_ROWS = 200
COLUMNS = (500, 1_000, 2_000, 5_000, 10_000)
STAGES = ("read", "create", "train", "export", "predict")
STUDY = """\
name = "wide"
[data]
source = "table.csv"
target = "y"
split = { val = 0.2, test = 0.2, seed = 0 }
[objective]
metric = "log_loss"
[training]
max_epochs = 3
batch_size = 64
[search_space.model]
depth = 1
width = 16
[search_space.optimizer]
name = "adam"
learning_rate = { type = "float", low = 1e-4, high = 1e-2, log = true }
[budget]
n_trials = 2
"""

Draw = Callable[[np.random.Generator, int], polars.Series]


def numbers(generator: np.random.Generator, _: int) -> polars.Series:
    """Numbers with four decimals."""
    return polars.Series(generator.normal(size=N_ROWS).round(4))


def mixed(generator: np.random.Generator, place: int) -> polars.Series:
    """Numbers, and in every fifth column one of six categories."""
    if place % 5:
        return numbers(generator, place)
    return polars.Series(["red", "blue", "green", "grey", "black", "white"])[
        generator.integers(0, 6, N_ROWS)
    ]


def dates(generator: np.random.Generator, _: int) -> polars.Series:
    """Times within fourteen years, in whole seconds."""
    times = polars.Series(generator.integers(1_262_304_000, 1_704_067_200, N_ROWS))
    return (times * 1_000_000).cast(polars.Datetime("us"))


KINDS: dict[str, Draw] = {"numbers": numbers, "mixed": mixed, "dates": dates}


def main(arguments: list[str]) -> None:
    """Measure each width, and print how the times grow."""
    parser = argparse.ArgumentParser(prog="scripts/bench wide", description=__doc__)
    parser.add_argument("--columns", type=int, nargs="+", default=COLUMNS)
    parser.add_argument("--kind", choices=KINDS, default="numbers")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    measure(20, KINDS[options.kind])  # warm-up: imports
    print(f"{'columns':>8}" + "".join(f"{stage:>9}" for stage in (*STAGES, "in all")))
    times = {}
    for n_columns in sorted(options.columns):
        times[n_columns] = measure(n_columns, KINDS[options.kind])
        print(f"{n_columns:8,}" + "".join(f"{s:8.2f}s" for s in times[n_columns].values()))
    few, many = min(times), max(times)
    ratios = [times[many][stage] / times[few][stage] for stage in times[few]]
    print(f"{many / few:7.1f}x" + "".join(f"{ratio:8.1f}x" for ratio in ratios))


def measure(n_columns: int, draw: Draw) -> dict[str, float]:
    """Seconds by stage, and in total from the study's creation on."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.process_time()
        yield
        seconds[stage] = time.process_time() - start

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "table.csv", n_columns, draw)
        (folder / "study.toml").write_text(STUDY)
        with timed("read"):
            read_table(DataConfig(source="table.csv", target="y"), folder)
        with timed("create"):
            created = create_from_file(
                folder / "study.toml", f"sqlite:///{folder}/hpo.db", f"{folder}/store"
            )
        with timed("train"):
            make_worker(created.study, created.store, SingleTrainer("cpu"), slots=1).work(
                threading.Event()
            )
        with timed("export"):
            (exported,) = export(created, folder / "out").folders
        with timed("predict"):
            rows = polars.read_csv(folder / "table.csv", infer_schema=False)
            hpo.load_model(exported).predict(rows)
    return {**seconds, "in all": sum(seconds[stage] for stage in STAGES[1:])}


def write_table(path: Path, n_columns: int, draw: Draw) -> None:
    """Write a reproducible table with two classes."""
    generator = np.random.default_rng(0)
    columns = {f"x{place}": draw(generator, place) for place in range(n_columns)}
    labels = np.where(generator.normal(size=N_ROWS) > 0, "yes", "no")
    polars.DataFrame({**columns, "y": labels}).write_csv(path)
