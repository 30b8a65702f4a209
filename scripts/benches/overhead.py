"""Where a worker's time goes: 100 trials of 20 epochs on California Housing, over SQLite.

One worker, one thread, the default space, no pruning, so that every trial has its 20 epochs.
"""

import argparse
import os
import tempfile
import threading
from pathlib import Path

import torch

from hpo.launch.creation import create_from_file
from hpo.study import WorkerId
from hpo.training import SingleTrainer
from hpo.worker.loop import Timing, Worker
from hpo.worker.quota import Quota

STUDIES = Path(__file__).parents[2] / "studies"


def main(arguments: list[str]) -> None:
    """Run the worker and print the shares of its time."""
    parser = argparse.ArgumentParser(prog="scripts/bench overhead", description=__doc__)
    parser.add_argument("--n-trials", type=int, default=100)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        seconds = work(Path(folder), options.n_trials)
    total = sum(seconds.values())
    print(f"{options.n_trials} trials of 20 epochs in {total:.0f} s, by what the worker did:")
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        each = 1000 * spent / options.n_trials
        print(f"  {name:8} {spent / total:6.1%}  {each:8.1f} ms a trial")
    print(f"outside training: {1 - seconds['train'] / total:.1%}")


def work(folder: Path, n_trials: int) -> dict[str, float]:
    """Seconds by what the worker did."""
    text = (STUDIES / "california_housing.toml").read_text()
    for old, new in (
        ("max_epochs = 200", "max_epochs = 20"),
        ("patience   = 16", "patience   = 20"),
        ('name = "median"\nn_startup_trials = 5\nn_warmup_steps   = 5', 'name = "none"'),
        ('source = "', f'source = "{STUDIES}/'),
        ('search_space = "mlp"', f'search_space = "{STUDIES.parent}/search_spaces/mlp.toml"'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "study.toml").write_text(text)
    study, store = create_from_file(
        folder / "study.toml", f"sqlite:///{folder}/hpo.db", f"{folder}/store", n_trials=n_trials
    )
    worker = Worker(
        studies=lambda: [study],
        store=store,
        trainer=SingleTrainer("cpu"),
        identity=WorkerId(host="bench", pid=os.getpid(), device="cpu"),
        quota=Quota(),
        timing=Timing(),
    )
    worker.work(threading.Event())
    return dict(worker.stopwatch.seconds)
