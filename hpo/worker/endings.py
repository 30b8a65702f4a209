"""Endings: what is told of a trial whose training is over."""

from dataclasses import asdict, replace
from typing import Any

import torch

from hpo.config.trial import TrialConfig
from hpo.models.experiment import Experiment
from hpo.training.record import Result
from hpo.worker.job import Ending


def diverged(result: Result) -> Ending:
    """The end of a trial whose weights or outputs stopped being finite numbers."""
    return Ending(state="PRUNED", attrs={**_measured(result), "reason": result.reason})


def completed(
    experiment: Experiment,
    config: TrialConfig,
    result: Result,
    device: torch.device,
    n_slots: int,
    *,
    is_early: bool = False,
) -> Ending:
    """The end of a trial with its weights, beside a configuration that gives them again.

    Args:
        experiment: the study's table.
        config: the trial's.
        result: of its training.
        device: where it was trained.
        n_slots: of its worker.
        is_early: the study's time was up. Its configuration then has the epochs that there were.
    """
    n_epochs, training, note = result.n_epochs, config.training, {}
    if is_early:
        text = f"time was up after epoch {n_epochs} of {training.max_epochs}"
        note = {"reason": f"{text}: the best of them counts"}
        config = replace(config, training=replace(training, max_epochs=n_epochs))
    model = experiment.model(config, result, device)
    environment = {**asdict(model.environment), "slots": n_slots}
    attrs = {**_measured(result), **environment, "metrics": result.metrics, **note}
    return Ending(state="COMPLETE", attrs=attrs, weights=model.to_bytes())


def _measured(result: Result) -> dict[str, Any]:
    return {"n_epochs": result.n_epochs, "n_steps": result.n_steps, "seconds": result.seconds}
