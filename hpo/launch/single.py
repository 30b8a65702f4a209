"""Training of one configuration without a study, for `hpo train`."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from hpo.config.compatibility import LossChoices, check_fitted, check_task
from hpo.config.data_rules import check_data
from hpo.config.errors import DefinitionError, HpoError, InputError
from hpo.config.metrics import metric_label
from hpo.config.parsing import read_toml, validate
from hpo.config.trial import TrialConfig
from hpo.data.format_1 import read_recorded
from hpo.data.target import resolve_task
from hpo.launch.local import REPRODUCIBLE
from hpo.models.ensemble import TrialModel
from hpo.models.experiment import Experiment
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Failed, Finished, Progress, Run

_SLICE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model, its validation and test metrics, and the experiment with its table."""

    model: TrialModel
    metrics: dict[str, dict[str, float]]
    experiment: Experiment


def train_config(
    path: Path, *, seed: int | None, device: str, log: Callable[[str], None]
) -> TrainedModel:
    """Train the configuration in a file.

    Args:
        path: a trial's `config.toml`, or one written by hand.
        seed: replaces the configuration's seed.
        device: a torch device, or `auto` for a GPU if there is one.
        log: called with a line for each epoch.

    Raises:
        DefinitionError: the file is invalid.
        DataError: the table is not the one in the configuration, or cannot be trained on.
        InputError: the training diverged.
        HpoError: the training failed.
    """
    chosen = choose_device(device)
    with one_thread():
        config, experiment = load_config(path, seed)
        model = fit(config, experiment, chosen, log)
        metrics = {"validation": model.metrics} if config.refit is None else {}
        metrics["test"] = experiment.test_metrics(model)
    return TrainedModel(model=model, metrics=metrics, experiment=experiment)


def fit(
    config: TrialConfig, experiment: Experiment, device: torch.device, log: Callable[[str], None]
) -> TrialModel:
    """Train a configuration in this process; `one_thread` makes the result reproducible.

    Args:
        config: of the training.
        experiment: its table; for a refit, from `Experiment.for_refit`.
        device: to train on.
        log: called with a line for each epoch.

    Raises:
        InputError: the training diverged.
        HpoError: the training failed.
    """
    os.environ.update(REPRODUCIBLE)
    trainer = SingleTrainer(device)
    _, data = experiment.prepared(config.preprocessing)
    metric = metric_label(config.objective.metric, experiment.dataset.schema.positive)
    where = "" if config.refit is None else " on the training rows"
    trainer.admit(Run(key=0, config=config, data=data))
    while True:
        for event in trainer.advance(_SLICE_SECONDS):
            match event:
                case Progress():
                    for measured in event.measurements:
                        log(f"epoch {measured.step}: {metric} {measured.value:.5g}{where}")
                case Failed():
                    raise HpoError(f"training failed: {event.reason}")
                case Finished() if event.result.status == "diverged":
                    raise InputError(f"training diverged: {event.result.reason}")
                case Finished():
                    return experiment.model(config, event.result, device)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, as worker processes do, for bitwise equal results."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def choose_device(name: str) -> torch.device:
    """Return the torch device of a name; `auto` is a GPU if there is one.

    Raises:
        InputError: this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    with suppress(RuntimeError, AssertionError):
        device = torch.empty(0, device=name).device
        if device.type in ("cpu", "cuda"):  # others are not supported
            return device
    raise InputError(f"device must be auto, cpu or a GPU of this machine, but got {name}")


def load_config(path: Path, seed: int | None) -> tuple[TrialConfig, Experiment]:
    """Return the complete configuration in a file, and the experiment with its table.

    Raises:
        DefinitionError: the file is invalid.
        DataError: the table is not the one in the configuration, or cannot be trained on.
    """
    tree = read_toml(path)
    config: TrialConfig = validate(TrialConfig, tree, str(path))
    check_data(config.data, tree["data"], str(path))
    table = read_recorded(config.data, path.parent)
    task = resolve_task(table, config.data)
    data = replace(config.data, task=task)
    choices = LossChoices.of(config.training)
    check_task(task, config.objective, choices, str(path))
    if config.refit is not None:
        check_fitted(task, config.refit.calibration, f"{path}: refit.calibration")
    _check_refit(config, str(path))
    if not data.fingerprint:  # a file that was written by hand
        data = replace(data, fingerprint=table.fingerprint())
    training = config.training if seed is None else replace(config.training, seed=seed)
    experiment = Experiment(table, data)
    if config.refit is None:
        experiment.dataset.check_objective(config.objective, str(path))
    else:
        experiment = experiment.for_refit()
    experiment.dataset.check_targets(choices, str(path))
    return replace(config, data=data, training=training), experiment


def _check_refit(config: TrialConfig, where: str) -> None:
    """Refuse a refit beyond the planned epochs, for which no learning rate is planned."""
    highest = config.training.max_epochs
    if config.refit is not None and config.refit.n_epochs > highest:
        raise DefinitionError(
            f"{where}: refit.n_epochs: must be at most training.max_epochs, which is {highest}, "
            f"but got {config.refit.n_epochs}"
        )
