"""Which metrics, losses and transforms of the target suit a task and each other."""

from dataclasses import dataclass

from hpo.config.errors import DefinitionError
from hpo.config.metrics import METRICS, find_metric
from hpo.config.parsing import format_value
from hpo.config.trial import (
    LOSSES,
    Loss,
    ObjectiveConfig,
    TargetTransform,
    Task,
    TrainingConfig,
    resolve_loss,
)


@dataclass(frozen=True, kw_only=True)
class LossChoices:
    """What the trials of a study may learn by, or a single training.

    Attributes:
        label_smoothing: the highest.
        poisson_of_log1p: whether a trial may have the loss `poisson` and the transform `log1p`.
    """

    losses: tuple[Loss, ...]
    transforms: tuple[TargetTransform, ...]
    label_smoothing: float
    poisson_of_log1p: bool

    @classmethod
    def of(cls, training: TrainingConfig) -> "LossChoices":
        """The choices of a single training."""
        return cls(
            losses=(training.loss,),
            transforms=(training.target_transform,),
            label_smoothing=training.label_smoothing,
            poisson_of_log1p=training.loss == "poisson" and training.target_transform == "log1p",
        )


def check_task(task: Task, objective: ObjectiveConfig, choices: LossChoices, where: str) -> None:
    """Make sure that an objective and the choices of losses suit a task and each other.

    Raises:
        DefinitionError: they do not; the message names what does.
    """
    metric = objective.metric
    if task not in find_metric(metric).tasks:
        fitting = ", ".join(name for name, known in METRICS.items() if task in known.tasks)
        raise DefinitionError(
            f"{where}: objective.metric: must be one of {fitting} for a {task} task, "
            f'but got "{metric}"'
        )
    for loss in choices.losses:
        if loss != "auto" and loss not in LOSSES[task]:
            fitting = ", ".join(LOSSES[task])
            raise DefinitionError(
                f"{where}: training.loss: must be one of {fitting} for a {task} task, "
                f"but got {format_value(loss)}"
            )
    _check_parameters(task, objective, choices, where)
    _check_calibration(task, objective, where)
    if task == "regression" and choices.label_smoothing > 0:
        raise DefinitionError(
            f"{where}: training.label_smoothing: must be 0 for a regression task, "
            f"but got {format_value(choices.label_smoothing)}"
        )
    if task != "regression" and "log1p" in choices.transforms:
        raise DefinitionError(
            f'{where}: training.target_transform: must be "none" for a {task} task, but got "log1p"'
        )
    if choices.poisson_of_log1p:
        raise DefinitionError(
            f'{where}: training.target_transform: must be "none" where training.loss is "poisson", '
            "which has a logarithm of its own; in a search space, give it a when"
        )


def _check_parameters(
    task: Task, objective: ObjectiveConfig, choices: LossChoices, where: str
) -> None:
    """Make sure that the objective has the keys that its metric and losses need, and no more."""
    metric = objective.metric
    losses = {resolve_loss(loss, task, metric) for loss in choices.losses}
    users = {
        "k": "the metric top_k_accuracy",
        "quantile": "the metric pinball and the loss quantile",
    }
    needed = {
        "k": metric == "top_k_accuracy",
        "quantile": metric == "pinball" or "quantile" in losses,
    }
    for key, is_needed in needed.items():
        said, value = users[key], getattr(objective, key)
        if is_needed and value is None:
            raise DefinitionError(f"{where}: objective.{key}: is required for {said}")
        if value is not None and not is_needed:
            raise DefinitionError(
                f"{where}: objective.{key}: is only for {said}, but got {format_value(value)}"
            )


def _check_calibration(task: Task, objective: ObjectiveConfig, where: str) -> None:
    """Make sure that the objective asks only for a calibration that its task and metric have.

    There is no temperature in a regression, and a threshold only in a binary task with a metric
    that depends on the predicted classes.
    """
    if objective.calibrate is not None and task == "regression":
        raise DefinitionError(
            f"{where}: objective.calibrate: is for classes, but this is a {task} task"
        )
    if objective.threshold is None:
        return
    if task != "binary":
        raise DefinitionError(
            f"{where}: objective.threshold: is for a binary task, but this is a {task} task"
        )
    if not find_metric(objective.metric).of_decision:
        fitting = ", ".join(name for name, metric in METRICS.items() if metric.of_decision)
        raise DefinitionError(
            f"{where}: objective.threshold: needs a metric of the predicted classes, one of "
            f'{fitting}, but objective.metric is "{objective.metric}"'
        )
