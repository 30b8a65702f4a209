"""Hypothesis strategies for packs of runs, and functions that train them."""

import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from hpo.config.trial import Activation, Measurement, OptimizerName, Precision, Task, TrialConfig
from hpo.training.batches import RunData
from hpo.training.checkpoint import Checkpoint
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.record import Result
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Event, Finished, Progress, Run, Trainer
from tests.support.training import toy_config

FEW = settings(
    max_examples=10,
    derandomize=True,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
KEY = 3
TOLERANCES = {"float64": 1e-9, "float32": 1e-5}

models = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 5),
        "width": st.integers(3, 40),
        "activation": st.sampled_from(get_args(Activation)),
        "dropout": st.sampled_from([0.0, 0.1, 0.37]),
    }
)
optimizers = st.fixed_dictionaries(
    {
        "name": st.sampled_from(get_args(OptimizerName)),
        "learning_rate": st.sampled_from([1e-4, 1e-3]),
        "momentum": st.sampled_from([0.0, 0.9]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "l1": st.sampled_from([0.0, 1e-3]),
    }
)


def packs(
    task: Task, precision: Precision, *, batch_size: int = 32
) -> st.SearchStrategy[list[TrialConfig]]:
    """Configs that differ in everything that a pack allows."""
    runs = st.builds(
        lambda model, optimizer, seed, patience, max_epochs, clip: toy_config(
            task,
            model=model,
            optimizer=optimizer,
            seed=seed,
            patience=patience,
            max_epochs=max_epochs,
            gradient_clip=clip,
            batch_size=batch_size,
            precision=precision,
        ),
        models,
        optimizers,
        st.integers(0, 9),
        st.integers(1, 3),
        st.integers(1, 5),
        st.sampled_from([0.0, 0.3]),
    )
    return st.lists(runs, min_size=1, max_size=6)


def started(
    trainer: Trainer, config: TrialConfig, data: RunData, checkpoint: Checkpoint | None = None
) -> Any:
    """Admit a run under `KEY`, and return the trainer."""
    assert trainer.admit(Run(key=KEY, config=config, data=data), checkpoint)
    return trainer


def checkpoint_after(trainer: Trainer, n_steps: int) -> Checkpoint:
    """Train the run `KEY` in the shortest slices up to a step, and return its checkpoint."""
    while True:
        trainer.advance(0.0)
        found = trainer.checkpoint(KEY)
        assert found is not None, "the run must be longer"
        if found.n_steps >= n_steps:
            return found


def single(
    config: TrialConfig,
    data: RunData,
    device: Any,
    n_steps: int,
    start: Any = None,
) -> Checkpoint:
    """Train a run by `SingleTrainer` up to a step."""
    return checkpoint_after(started(SingleTrainer(device), config, data, start), n_steps)


class Endings:
    """Events of several runs, in order."""

    def __init__(self) -> None:
        self.measurements: dict[int, list[Measurement]] = {}
        self.results: dict[int, Result] = {}
        self.others: list[Event] = []

    def note(self, events: Sequence[Event]) -> None:
        """Record events; check that epochs are consecutive and nothing follows the end of a run."""
        for event in events:
            assert event.key not in self.results, "told after the end"
            match event:
                case Progress():
                    known = self.measurements.setdefault(event.key, [])
                    assert event.measurements
                    known += event.measurements
                    first = known[0].step
                    assert [m.step for m in known] == list(range(first, first + len(known)))
                case Finished():
                    self.results[event.key] = event.result
                case _:
                    self.others.append(event)


def finish(
    trainer: Trainer,
    runs: Sequence[Run],
    seconds: float = math.inf,
    between: Callable[[Endings], None] = lambda endings: None,
) -> Endings:
    """Train runs to their ends, admitting each as soon as the trainer accepts it."""
    waiting, endings = list(runs), Endings()
    while True:
        while waiting and trainer.admit(waiting[0]):
            waiting.pop(0)
        events = trainer.advance(seconds)
        endings.note(events)
        between(endings)
        idle = not waiting and not any(trainer.checkpoint(run.key) for run in runs)
        if idle and not events:
            return endings


def together(
    configs: Sequence[TrialConfig],
    data: RunData,
    device: Any,
    seconds: float = math.inf,
) -> Endings:
    """Train configs in one pack; their index is the key."""
    runs = [Run(key=key, config=config, data=data) for key, config in enumerate(configs)]
    return finish(PackedTrainer(device, len(runs)), runs, seconds)


def alone(config: TrialConfig, data: RunData, device: Any) -> Endings:
    """Train a config by `SingleTrainer` under `KEY`."""
    return finish(SingleTrainer(device), [Run(key=KEY, config=config, data=data)])


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> None:
    """Compare tensors; the tolerance is relative to the largest expected value."""
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def endless(config: TrialConfig) -> TrialConfig:
    """The config with more epochs than any test trains."""
    training = {**vars(config.training), "max_epochs": 50, "patience": 50}
    return type(config)(**{**vars(config), "training": type(config.training)(**training)})
