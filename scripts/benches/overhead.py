"""Where a worker's time goes: 100 trials of 20 epochs on California Housing, over SQLite.

One worker with one thread searches the default space without pruning.

With --curve, training is simulated: trials have 40 epochs on average, and each epoch takes the
given number of seconds. This measures, without a GPU, how long a worker with many slots is busy
with its storage and its store, with TPE and the median pruner. With several slots that work runs
beside the training.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import torch
from benches.curves import CurveTrainer
from benches.stopwatch import Stopwatch
from benches.storage import databases

from hpo.lifecycle.creation import create_from_file
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Trainer
from tests.support.workers import make_worker

STUDIES = Path(__file__).parents[2] / "studies"
CURVE_EPOCHS = 40


def main(arguments: list[str]) -> None:
    """Run the worker and print how it spent its time."""
    parser = argparse.ArgumentParser(prog="scripts/bench overhead", description=__doc__)
    parser.add_argument("--n-trials", type=int, default=100)
    parser.add_argument("--slots", type=int, default=1, help="trials in training at once")
    parser.add_argument("--storage", default="sqlite", help="sqlite, postgresql, mariadb or a URL")
    parser.add_argument("--curve", type=float, metavar="SECONDS", help="simulate epochs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if "://" in options.storage:
        measure(options, options.storage)
        return
    with databases(options.storage) as fresh:
        if fresh is None:
            raise SystemExit(f"the server of {options.storage} is not installed here")
        measure(options, fresh())


def measure(options: argparse.Namespace, url: str) -> None:
    """Run a worker with a storage, and print the result."""
    n_epochs = 20 if options.curve is None else CURVE_EPOCHS
    trainer = _trainer(options)
    with tempfile.TemporaryDirectory() as folder:
        seconds, passed = work(Path(folder), url, options, n_epochs, trainer)
    print(
        f"{options.n_trials} trials of {n_epochs} epochs, {options.slots} at once, in {passed:.0f}"
        f" s over {options.storage.partition(':')[0]}, by activity:"
    )
    for name, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        each = 1000 * spent / options.n_trials
        print(f"  {name:8} {spent / passed:6.1%}  {each:8.1f} ms a trial")
    print(f"outside training: {1 - seconds['train'] / passed:.1%}")
    if isinstance(trainer, CurveTrainer):
        print(f"slots in use: {trainer.use:.1%}, the first and the last trials included")


def work(
    folder: Path, url: str, options: argparse.Namespace, n_epochs: int, trainer: Trainer
) -> tuple[dict[str, float], float]:
    """The worker's seconds by activity, and in total."""
    text = (STUDIES / "california_housing.toml").read_text()
    for old, new in (
        ("batch_size = 256", f"batch_size = 256\nmax_epochs = {n_epochs}"),
        ('name = "median"', _pruner(options)),
        ('source = "', f'source = "{STUDIES}/'),
        ('search_space = "mlp"', f'search_space = "{STUDIES.parent}/search_spaces/mlp_plain.toml"'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "study.toml").write_text(text)
    created = create_from_file(
        folder / "study.toml", url, f"{folder}/store", n_trials=options.n_trials
    )
    study, store = created.study, created.store
    worker, stopwatch = make_worker(study, store, trainer, slots=options.slots), Stopwatch(trainer)
    start = time.perf_counter()
    worker.work(threading.Event())
    return dict(stopwatch.seconds), time.perf_counter() - start


def _pruner(options: argparse.Namespace) -> str:
    return 'name = "none"' if options.curve is None else 'name = "median"'


def _trainer(options: argparse.Namespace) -> Trainer:
    if options.curve is not None:
        return CurveTrainer(options.slots, options.curve, CURVE_EPOCHS)
    if options.slots == 1:
        return SingleTrainer("cpu")
    from hpo.training.packs.trainer import PackedTrainer

    return PackedTrainer("cpu", options.slots)
