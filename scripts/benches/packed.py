"""Updates per second of packs: many trials with different settings, trained as one program.

  (a)   the engine of one trial
  (b)   the pattern of Optuna's PyTorch examples: DataLoader and torch.optim
  (c)   upper bound: only the matrix products between hidden layers, for as many networks

The choice of `--slots auto` is printed as well. A second table compares packs of networks of equal
shape, which differ in their seeds only, with `torch.func.vmap` over the same networks and with the
engine of one trial. The three take turns, and a ratio is the median of the rounds' ratios. On a CPU
it counts CPU seconds, so that other load matters less.

Needs only torch. The defaults are smaller on a CPU, where packs may not pay.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product

import torch
from benches import examples, vmapped

from hpo.config.errors import first_line
from hpo.config.trial import (
    DataConfig,
    ObjectiveConfig,
    OptimizerConfig,
    TrainingConfig,
    TrialConfig,
)
from hpo.training.batches import TrainingData
from hpo.training.families.leaves import Embedding
from hpo.training.families.mlp import MLPConfig
from hpo.training.memory import free_memory
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.precision import resolve_precision
from hpo.training.single import SingleTrainer
from hpo.training.sizing import best_slots, speed
from hpo.training.trainer import Run, Trainer

N_INPUTS = 16
BATCH_SIZE = 256
N_VALIDATION = 10_000
ACTIVATIONS = ("relu", "silu", "tanh", "gelu")
OPTIMIZERS = ("adamw", "sgd", "rmsprop", "adam")
GPU = ((256, 1024, 64, 512), (64, 8, 128, 32, 1))
CPU = ((256, 64), (8, 1))
"""Widths and pack sizes, the most important first."""
SHAPES = ("2x128", "3x256")
SLOTS = (8, 32)
EMBEDDINGS: tuple[Embedding, ...] = ("none", "piecewise_linear")
ROUNDS = 5


def main(arguments: list[str]) -> None:
    """Print a row, or its failure, for each width and pack size."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    widths, packs = GPU if device.type == "cuda" else CPU
    parser = argparse.ArgumentParser(prog="scripts/bench packed", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=widths)
    parser.add_argument("--packs", type=int, nargs="+", default=packs)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--rows", type=int, default=102_400)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--shapes", nargs="*", default=SHAPES, help="of the second table, as 3x256")
    parser.add_argument("--slots", type=int, nargs="+", default=SLOTS, help="of the second table")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    print(f"{name}: {options.rows} rows, depth {options.depth}, batches of {BATCH_SIZE}")
    print("width  trials  updates/s  x (a)  x (b)  of (c)")
    data = table(options.rows)
    start = time.perf_counter()
    for width in options.widths:
        _attempted(f"{width:5}", partial(rows, width, options, data, device), device)
        print(f"{width:5}   {time.perf_counter() - start:.0f} s since the start")
    if options.shapes:
        equal_shapes(options, data, device)


def equal_shapes(options: argparse.Namespace, data: TrainingData, device: torch.device) -> None:
    """Print a row, or its failure, for each shape, pack size, embedding and precision."""
    print("\nupdates/s of networks of equal shape; packs compared with vmap and with one trial")
    print("shape  embedding        precision  trials    packs     vmap    alone  x vmap  x alone")
    for shape, n, embedding in product(options.shapes, options.slots, EMBEDDINGS):
        depth, width = map(int, shape.split("x"))
        fastest = resolve_precision("auto", width, device)
        for precision in dict.fromkeys(("float32", fastest)):
            name = f"{shape:6} {embedding:16} {precision:9}  {n:6}"
            alike = replace(
                config(0, width, depth),
                model=MLPConfig(depth=depth, width=width, dropout=0.1, embedding=embedding),
                training=TrainingConfig(batch_size=BATCH_SIZE, precision=precision),
            )
            measure = partial(compare, name, alike, n, data, device, options.seconds)
            _attempted(name, measure, device)


def compare(
    name: str,
    alike: TrialConfig,
    n: int,
    data: TrainingData,
    device: torch.device,
    seconds: float,
) -> None:
    """Measure a pack, `vmap` and one trial in turns, and print a row."""
    training = replace(alike.training, max_epochs=100_000, patience=100_000)
    runs = [replace(alike, training=replace(training, seed=seed)) for seed in range(n)]
    ways = [
        Trained(PackedTrainer(device, n), runs, data),
        vmapped.Stack(runs, data, device),
        Trained(SingleTrainer(device), runs[:1], data),
    ]
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    found: list[list[float]] = []
    for _ in range(1 + ROUNDS):
        found.append([])
        for way in ways:
            n_before, start = way.n_updates, clock()
            way.advance(seconds / ROUNDS)
            taken = clock() - start
            found[-1].append((way.n_updates - n_before) / taken)
    measured = found[1:]  # the first round warms up
    figures = [statistics.median(column) for column in zip(*measured, strict=True)]
    by_vmap, by_one = (statistics.median(each[0] / each[i] for each in measured) for i in (1, 2))
    print(name, *[f"{each:8.0f}" for each in figures], f"{by_vmap:7.2f}  {by_one:7.2f}")


class Trained:
    """Runs in one of `hpo`'s engines."""

    def __init__(self, trainer: Trainer, runs: Sequence[TrialConfig], data: TrainingData) -> None:
        """Start the runs.

        Raises:
            RuntimeError: there is too little memory.
        """
        self._trainer, self._n = trainer, len(runs)
        for key, run in enumerate(runs):
            trainer.admit(Run(key=key, config=run, data=data))
        if events := trainer.advance(0.0):
            raise RuntimeError(f"not trained: {events[0]}")

    @property
    def n_updates(self) -> int:
        """Updates of all runs together; they make equally many."""
        checkpoint = self._trainer.checkpoint(0)
        assert checkpoint is not None
        return self._n * checkpoint.n_steps

    def advance(self, seconds: float) -> None:
        """Train for about so many seconds."""
        self._trainer.advance(seconds)


def rows(width: int, options: argparse.Namespace, data: TrainingData, device: torch.device) -> None:
    """Measure one width."""
    seconds, runs = options.seconds, [config(i, width, options.depth) for i in range(4)]
    alone = statistics.mean(
        speed(SingleTrainer(device), [run], data, seconds=seconds / 2) for run in runs
    )
    by_examples = statistics.mean(examples.speed(run, data, device, seconds / 2) for run in runs)
    print(f"{width:5}   alone  {alone:9.0f}  {1:5.1f}  {alone / by_examples:5.1f}")
    for n in options.packs:
        measure = partial(row, width, n, options, data, device, alone, by_examples)
        _attempted(f"{width:5}  {n:6}", measure, device)
    print(f"{width:5}    auto  {best_slots(runs[0], data, device):9} at once")


def row(
    width: int,
    n: int,
    options: argparse.Namespace,
    data: TrainingData,
    device: torch.device,
    alone: float,
    by_examples: float,
) -> None:
    """Measure one size of pack."""
    trainer, runs = PackedTrainer(device, n), [config(i, width, options.depth) for i in range(n)]
    start = time.perf_counter()
    packed = speed(trainer, runs, data, seconds=options.seconds)
    ready = time.perf_counter() - start - options.seconds
    shapes = "; ".join(trainer.describe())
    del trainer
    free_memory(device)
    if not packed:
        print(f"{width:5}  {n:6}  no memory")
        return
    ceiling = products(n, width, options.depth, device, options.seconds / 4)
    print(
        f"{width:5}  {n:6}  {packed:9.0f}  {packed / alone:5.1f}  {packed / by_examples:5.1f}"
        f"  {packed / ceiling:5.0%}   {shapes}; ready in {ready:.1f} s"
    )


def _attempted(name: str, measure: Callable[[], None], device: torch.device) -> None:
    """Measure, and print a failure instead of raising it."""
    try:
        measure()
        return
    except RuntimeError as error:
        print(f"{name}  failed: {first_line(error)}")
    with suppress(RuntimeError):  # the device does not recover
        free_memory(device)


def table(n_rows: int) -> TrainingData:
    """A random regression table."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_rows + N_VALIDATION, N_INPUTS, generator=generator)
    y = torch.sin(x).sum(dim=1)
    return TrainingData(
        task="regression",
        n_classes=0,
        x_train=x[:n_rows],
        y_train=y[:n_rows],
        x_val=x[n_rows:],
        y_val=y[n_rows:],
    )


def config(index: int, width: int, depth: int) -> TrialConfig:
    """The configuration of trial `index`; all differ."""
    return TrialConfig(
        data=DataConfig(source="random", target="y", task="regression"),
        objective=ObjectiveConfig(metric="rmse"),
        model=MLPConfig(
            depth=depth,
            width=width,
            activation=ACTIVATIONS[index % 4],
            dropout=0.1 if index % 3 == 0 else 0.0,
        ),
        optimizer=OptimizerConfig(
            name=OPTIMIZERS[index // 4 % 4],
            learning_rate=1e-4 * 1.5 ** (index % 7),
            weight_decay=1e-4 if index % 2 else 0.0,
        ),
        training=TrainingConfig(batch_size=BATCH_SIZE, seed=index),
    )


def products(n: int, width: int, depth: int, device: torch.device, seconds: float) -> float:
    """Updates per second if a step were only the products between hidden layers."""
    dtype = getattr(torch, resolve_precision("auto", width, device))
    x = torch.randn(n, BATCH_SIZE, width, device=device).to(dtype)
    weight = torch.randn(n, width, width, device=device).to(dtype)
    out, found = torch.empty_like(x), torch.empty_like(weight)

    def step() -> None:
        for _ in range(depth - 1):
            torch.bmm(x, weight.transpose(1, 2), out=out)
            torch.bmm(x, weight, out=out)
            torch.bmm(x.transpose(1, 2), x, out=found)

    return n * rate(step, device, seconds)


def rate(step: Callable[[], None], device: torch.device, seconds: float) -> float:
    """Calls per second."""
    step()
    n, elapsed = 1, 0.0
    while elapsed < seconds:
        n *= 2
        synchronize(device)
        start = time.perf_counter()
        for _ in range(n):
            step()
        synchronize(device)
        elapsed = time.perf_counter() - start
    return n / elapsed


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
