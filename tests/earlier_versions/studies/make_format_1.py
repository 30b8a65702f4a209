"""Made `format_1`, run once by the hpo of that format (commit 89b5ac5).

    PYTHONPATH=CHECKOUT python make_format_1.py DRAFT format_1

It left three studies in one storage, each of a kind of target, with what the code of then exported
of the best trial and of two together, and predicted on held rows, from CSV and from Parquet.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

STUDY = """
name = "{name}"
[search_space.preprocessing]
numeric = {{ type = "categorical", choices = ["quantile", "standard"] }}
[search_space.model]
depth = 1
width = {{ type = "int", low = 4, high = 8 }}
[search_space.optimizer]
learning_rate = {{ type = "float", low = 1e-3, high = 1e-1, log = true }}
[search_space.training]
batch_size = {{ type = "categorical", choices = [32, 1] }}
max_epochs = {{ type = "int", low = 4, high = 200, default = 20 }}
[data]
source = "{source}"
target = "{target}"
categorical = {categorical}
split = {{ val = 0.2, test = 0.2 }}
[objective]
metric = "{metric}"
[training]
patience = 200
[sampler]
name = "random"
[budget]
n_trials = {n_trials}
"""
N_ROWS, N_HELD = 120, 9


def customers(n: int) -> pl.DataFrame:
    """Text, truth, numbers and codes, with gaps."""
    return pl.DataFrame(
        {
            "size": [None if i % 7 == 3 else i * 37 % 100 / 8 for i in range(n)],
            "colour": [("red", " größe", None, "NA?")[i * 5 % 4] for i in range(n)],
            "regular": [i * 11 % 3 == 0 for i in range(n)],
            "code": [i * 13 % 4 for i in range(n)],
            "version": [("10", "2.0", "2.5b", "A7", "-3")[i * 3 % 5] for i in range(n)],
            "left": ["churned" if i * 37 % 100 > 70 else "stayed" for i in range(n)],
        }
    )


def grades(n: int) -> pl.DataFrame:
    """Classes of whole numbers."""
    return pl.DataFrame(
        {
            "x": [i * 29 % 50 - 25.5 for i in range(n)],
            "kind": [("a", "b", "true")[i % 3] for i in range(n)],
            "grade": [(10, 20, 300)[i * 29 % 50 // 17] for i in range(n)],
        }
    )


def sales(n: int) -> pl.DataFrame:
    """Large numbers, days as text, and times, which were text then."""
    first = datetime(2024, 1, 30)
    return pl.DataFrame(
        {
            "seen": [1_700_000_000 + i * 43 % 120 * 3600 for i in range(n)],
            "day": [str(first.date() + timedelta(days=i * 3 % 4)) for i in range(n)],
            "at": [first + timedelta(hours=12 * (i % 3)) for i in range(n)],
            "truck": [None if i % 11 == 5 else i % 2 == 0 for i in range(n)],
            "total": [250_000 + 1000.5 * (i * 3 % 4) + i * 43 % 120 * 10 for i in range(n)],
        }
    )


STUDIES = {
    "binary": (customers, "csv", "left", '["code"]', "f1"),
    "multiclass": (grades, "csv", "grade", "[]", "log_loss"),
    "regression": (sales, "parquet", "total", "[]", "rmse"),
}


def main(draft: Path, out: Path) -> None:
    """Make everything in a draft folder, then keep what is wanted."""
    draft.mkdir(parents=True)
    os.chdir(draft)
    for name in STUDIES:
        held = write_study(name)
        hpo("create", f"{name}.toml")
        hpo("worker", name, "--workers", "1", "--n-trials", "2")
        if name == "binary":
            begin(name)
        hpo("export", name, "--ensemble", "2", "--out", f"exports/{name}")
        predict(name, held, out)
    keep(out)


def write_study(name: str) -> pl.DataFrame:
    """Write a study's file and table here; the held rows."""
    made, end, target, codes, metric = STUDIES[name]
    table = made(N_ROWS + N_HELD)
    write(table[:N_ROWS], f"{name}.{end}")
    fields = {"name": name, "source": f"{name}.{end}", "target": target, "metric": metric}
    text = STUDY.format(**fields, categorical=codes, n_trials=4 if name == "binary" else 3)
    Path(f"{name}.toml").write_text(text)
    return table[N_ROWS:].drop(target)


def write(table: pl.DataFrame, file: str) -> None:
    """By the end of its name."""
    if file.endswith(".csv"):
        table.write_csv(file)
    else:
        table.write_parquet(file)


def hpo(*arguments: str) -> str:
    """Run a command of hpo."""
    command = [sys.executable, "-m", "hpo", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def begin(name: str) -> None:
    """Leave trial 2 WAITING with a checkpoint."""
    hpo("enqueue", name, "training.batch_size=1", "training.max_epochs=200")
    command = [sys.executable, "-m", "hpo", "worker", name, "--workers", "1", "--n-trials", "1"]
    worker = subprocess.Popen(command)
    with closing(sqlite3.connect("hpo.db")) as connection:
        query = "SELECT count(*) FROM trial_intermediate_values WHERE trial_id = 3"
        while connection.execute(query).fetchone()[0] < 1:
            time.sleep(0.02)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait() == 75  # released


def predict(name: str, held: pl.DataFrame, out: Path) -> None:
    """Keep what the best trial and the ensemble predict, of all rows and of each alone."""
    for folder in Path("exports", name).glob("*/"):
        kept = out / name / folder.name.split("-")[0]
        kept.mkdir(parents=True)
        for file in ("model.safetensors", "model.onnx", "schema.json"):
            shutil.copy(folder / file, kept)
        for end in ("csv", "parquet"):
            write(held, str(out / name / f"rows.{end}"))
            together = predicted(folder, held, end)
            alone = [predicted(folder, held[i : i + 1], end) for i in range(len(held))]
            assert_frame_equal(together, pl.concat(alone), rel_tol=1e-6)
            together.write_csv(kept / f"of_{end}.csv")


def predicted(folder: Path, rows: pl.DataFrame, end: str) -> pl.DataFrame:
    """By `hpo predict` from a file of a kind."""
    write(rows, f"rows.{end}")
    hpo("predict", str(folder), f"rows.{end}", "--out", "predictions.csv")
    return pl.read_csv("predictions.csv")


def keep(out: Path) -> None:
    """The storage as text, and the artifacts."""
    with closing(sqlite3.connect("hpo.db")) as connection:
        text = "\n".join(connection.iterdump()) + "\n"
    (out / "storage.sql").write_text(text)
    shutil.copytree("hpo-artifacts", out / "artifacts")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
