"""Speed of training: the same configurations and epochs on California Housing, in three ways.

  hpo   two worker processes with one thread each
  (a)   the pattern of Optuna's PyTorch examples (DataLoader, torch.optim), in one process with its
        best number of threads
  (b)   the same pattern in two processes with PyTorch's default threads

Each way takes configurations from one queue until it is empty. The data are preprocessed before the
clock starts. Every way validates after each epoch. Afterwards all is measured again with
piecewise-linear embeddings of the numbers, in (a) and (b) those of `rtdl_num_embeddings`.

CPU seconds are those of all processes together. They depend less on the machine's other load.
"""

import argparse
import multiprocessing
import random
import statistics
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from benches import examples

from hpo.config.definition import StudyDefinition, load_definition, load_search_space
from hpo.config.ranges import Categorical, FloatRange, Leaf, Value
from hpo.config.space import Chooser
from hpo.config.trial import PreprocessingConfig, TrialConfig
from hpo.data.table import read_table
from hpo.models.experiment import Experiment
from hpo.training.batches import TrainingData
from hpo.training.families.leaves import Embedding
from hpo.training.single import train

STUDY = Path(__file__).parents[2] / "studies" / "california_housing.toml"
WAYS = {
    "hpo: 2 processes, 1 thread each": ("hpo", 2, 1),
    "(a) 1 process, 1 thread": ("examples", 1, 1),
    "(a) 1 process, 2 threads": ("examples", 1, 2),
    "(b) 2 processes, default threads": ("examples", 2, None),
}
"""Name: engine, processes, threads of each."""
EMBEDDINGS: tuple[Embedding, ...] = ("none", "piecewise_linear")


class Times(NamedTuple):
    """What a way took: the time that passed, and the CPU time of its processes."""

    seconds: float
    cpu_seconds: float


def main(arguments: list[str]) -> None:
    """Compare the ways without and with embeddings."""
    parser = argparse.ArgumentParser(prog="scripts/bench throughput", description=__doc__)
    parser.add_argument("--n-configs", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    if find_spec("rtdl_num_embeddings") is None:
        sys.exit("rtdl_num_embeddings is not installed: scripts/environment bench installs it")
    definition, data = prepare()
    plain = draw(definition, options.n_configs, options.epochs)
    for embedding in EMBEDDINGS:
        print(f"embedding: {embedding}")
        configs = [replace(c, model=replace(c.model, embedding=embedding)) for c in plain]
        compare(configs, data, options.rounds)


def compare(configs: list[TrialConfig], data: TrainingData, n_rounds: int) -> None:
    """Time each way in turn, and print their ratios."""
    times: dict[str, list[Times]] = {name: [] for name in WAYS}
    for _ in range(n_rounds):
        for name, (engine, n_processes, n_threads) in WAYS.items():
            times[name].append(measure(engine, n_processes, n_threads, configs, data))
    n_steps = sum(c.training.max_epochs * data.n_batches(c.training.batch_size) for c in configs)
    ours, *others = times.values()
    for name, found in times.items():
        seconds, cpu_seconds = map(statistics.median, zip(*found, strict=True))
        ratio, cpu_ratio = paired(ours, found)
        print(
            f"{name:34} {seconds:7.1f} s {cpu_seconds:7.1f} CPU s {n_steps / seconds:7.0f} steps/s"
            f" {ratio:6.1f} x {cpu_ratio:6.1f} x CPU"
        )
    best_a, best_cpu = map(min, zip(*[paired(ours, found) for found in others[:2]], strict=True))
    b, cpu_b = paired(ours, others[2])
    print(
        f"{best_a:.1f} times (a), {b:.1f} times (b); in CPU seconds {best_cpu:.1f} and {cpu_b:.1f}"
    )


def paired(ours: list[Times], theirs: list[Times]) -> Times:
    """Ratios of theirs to ours: the medians of the rounds' ratios."""
    rounds = list(zip(ours, theirs, strict=True))
    return Times(*[statistics.median(b[i] / a[i] for a, b in rounds) for i in range(2)])


def prepare() -> tuple[StudyDefinition, TrainingData]:
    """The study and its preprocessed table."""
    definition = load_definition(STUDY)
    table = read_table(definition.data, STUDY.parent)
    definition = definition.resolved(
        source="", task="regression", fingerprint=table.fingerprint(), where=str(STUDY)
    )
    _, data = Experiment(table, definition.data).prepared(PreprocessingConfig(numeric="quantile"))
    return definition, data


def draw(definition: StudyDefinition, n_configs: int, epochs: int) -> list[TrialConfig]:
    """Random configurations of the space of plain MLPs, with a fixed seed."""
    generator = random.Random(0)
    plain = load_search_space("mlp_plain", str(STUDY), STUDY.parent)
    space = plain.fixed({"training.max_epochs": epochs, "training.patience": epochs})
    study = StudyDefinition(**{**vars(definition), "space": space})
    choose = chooser(generator)
    return [study.trial_config(space.walk(choose)) for _ in range(n_configs)]


def chooser(generator: random.Random) -> Chooser:
    """Random draws for `SearchSpace.walk`."""

    def choose(name: str, leaf: Leaf) -> Value:
        if isinstance(leaf, Categorical):
            return generator.choice(leaf.choices)
        if isinstance(leaf, FloatRange) and leaf.log:
            return leaf.low * (leaf.high / leaf.low) ** generator.random()
        if isinstance(leaf, FloatRange):
            return generator.uniform(leaf.low, leaf.high)
        return generator.randrange(leaf.low, leaf.high + 1, leaf.step or 1)

    return choose


def measure(
    engine: str,
    n_processes: int,
    n_threads: int | None,
    configs: list[TrialConfig],
    data: TrainingData,
) -> Times:
    """Times from the moment every process is ready to the end of the last configuration."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(n_processes + 1), context.Queue()
    taken = context.SimpleQueue()
    for config in configs:
        queue.put(config)
    for _ in range(n_processes):
        queue.put(None)
    tensors = (data.x_train, data.y_train, data.x_val, data.y_val)
    work = (engine, n_threads, tensors, queue, barrier, taken)
    processes = [context.Process(target=worker, args=work) for _ in range(n_processes)]
    for process in processes:
        process.start()
    barrier.wait()
    start = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - start
    if any(process.exitcode for process in processes):
        sys.exit("a process failed, see above")
    return Times(seconds, sum(taken.get() for _ in processes))


def worker(
    engine: str,
    n_threads: int | None,
    tensors: tuple[torch.Tensor, ...],
    queue: Any,
    barrier: Any,
    taken: Any,
) -> None:
    """Train configurations from the queue until it yields None; then put the CPU seconds."""
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    x_train, y_train, x_val, y_val = (tensor.clone() for tensor in tensors)
    data = TrainingData(
        task="regression", n_classes=0, x_train=x_train, y_train=y_train, x_val=x_val, y_val=y_val
    )
    trained = train if engine == "hpo" else examples.train
    barrier.wait()
    start = time.process_time()
    while (config := queue.get()) is not None:
        trained(config, data, torch.device("cpu"))
    taken.put(time.process_time() - start)
