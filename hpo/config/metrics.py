"""Metrics by name: the direction of each, the tasks that it is defined for, and what it needs.

`hpo.training.metrics` computes them. Nothing here needs torch. Installed packages add metrics by
entry points of the group `hpo.metrics`.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint
from typing import Annotated, Any, Literal, Protocol

from hpo.config.entry_points import Registry
from hpo.config.errors import DefinitionError


class Direction(StrEnum):
    """The direction in which a metric improves; equal to the string that Optuna uses."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    @property
    def sign(self) -> float:
        """1 or -1: of two values, the better one is lower after multiplication by the sign."""
        return 1.0 if self is Direction.MINIMIZE else -1.0

    @property
    def preferred(self) -> str:
        """A word for the better values."""
        return "lower" if self is Direction.MINIMIZE else "higher"

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another."""
        return self.sign * value < self.sign * other

    def best(self, values: Iterable[float]) -> float:
        """The best of at least one value."""
        return min(values, key=lambda value: self.sign * value)

    def best_first(self, values: Iterable[float]) -> list[float]:
        """The values in order, the best one first."""
        return sorted(values, key=lambda value: self.sign * value)


Requirement = Literal["positive_class", "every_class", "two_rows", "no_zeros", "no_negatives"]
"""What the targets of a part must hold so that a metric has a value: rows of the second of two
classes, or of each class; at least two rows; no 0; no number below 0."""
Parameter = Literal["quantile", "k"]
"""A further key of `[objective]` that a metric needs."""


class OwnMetric(Protocol):
    """A metric of an installed package.

    Attributes:
        name: that of its entry point.
        direction: `minimize` or `maximize`.
        tasks: some of `binary`, `multiclass` and `regression`.
    """

    name: str
    direction: str
    tasks: Sequence[str]

    def score(self, predictions: Any, targets: Any, weights: Any) -> Any:
        """The metric of some rows: a number, or a tensor of one.

        Args:
            predictions: (rows,) float64 values in the target's own units, or (rows, n_classes)
                float64 probabilities; a tensor, as are the others, all on one device.
            targets: (rows,) float64 values, or int64 classes in the order of the probabilities; of
                two, 1 is the positive class.
            weights: (rows,) float64, how much each row counts.
        """


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric.

    Attributes:
        direction: the direction in which it improves.
        tasks: the tasks for which it is defined.
        of_positive: whether it depends on the positive class in a binary task.
        of_decision: whether it depends on the predicted classes alone, not on probabilities.
        requires: what it requires of the targets, by task.
        parameter: the key of `[objective]` that it needs.
        is_loss: whether models are compared by it where others are compared by the task's loss.
        own: the object that an installed package adds; None for a built-in metric.
    """

    direction: Direction
    tasks: tuple[str, ...]
    of_positive: bool = False
    of_decision: bool = False
    requires: Mapping[str, Requirement] = field(default_factory=dict)
    parameter: Parameter | None = None
    is_loss: bool = False
    own: "OwnMetric | None" = None


_CLASSES = ("binary", "multiclass")
_NUMBERS = ("regression",)
_LOWER, _HIGHER = Direction.MINIMIZE, Direction.MAXIMIZE
METRICS: dict[str, Metric] = {
    "accuracy": Metric(direction=_HIGHER, tasks=_CLASSES, of_decision=True),
    "balanced_accuracy": Metric(direction=_HIGHER, tasks=_CLASSES, of_decision=True),
    "f1": Metric(
        direction=_HIGHER,
        tasks=_CLASSES,
        of_positive=True,
        of_decision=True,
        requires={"binary": "positive_class"},
    ),
    "matthews_correlation": Metric(direction=_HIGHER, tasks=_CLASSES, of_decision=True),
    "top_k_accuracy": Metric(direction=_HIGHER, tasks=("multiclass",), parameter="k"),
    "roc_auc": Metric(
        direction=_HIGHER,
        tasks=_CLASSES,
        requires=dict.fromkeys(_CLASSES, "every_class"),
    ),
    "average_precision": Metric(
        direction=_HIGHER,
        tasks=_CLASSES,
        of_positive=True,
        requires={"binary": "positive_class", "multiclass": "every_class"},
    ),
    "log_loss": Metric(direction=_LOWER, tasks=_CLASSES),
    "brier_score": Metric(direction=_LOWER, tasks=_CLASSES),
    "rmse": Metric(direction=_LOWER, tasks=_NUMBERS),
    "mae": Metric(direction=_LOWER, tasks=_NUMBERS),
    "r2": Metric(direction=_HIGHER, tasks=_NUMBERS, requires={"regression": "two_rows"}),
    "mape": Metric(
        direction=_LOWER, tasks=_NUMBERS, requires={"regression": "no_zeros"}, is_loss=True
    ),
    "rmsle": Metric(
        direction=_LOWER, tasks=_NUMBERS, requires={"regression": "no_negatives"}, is_loss=True
    ),
    "pinball": Metric(direction=_LOWER, tasks=_NUMBERS, parameter="quantile", is_loss=True),
}
REGISTRY = Registry(
    group="hpo.metrics", kind="metric", short="metric", several="metrics", built_in=METRICS
)
TIE_BREAKS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
"""The loss of each task as a metric: with equal objectives, the trial with the lower loss is
better."""


class _Known:
    """Makes pydantic accept the names of metrics that are built in or installed."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # here: training needs no pydantic

        return core_schema.no_info_after_validator_function(_known, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "enum": REGISTRY.names()}


MetricName = Annotated[str, _Known()]


def _known(name: str) -> str:
    try:
        find_metric(name)
    except DefinitionError as error:
        raise ValueError(str(error)) from None
    return name


@cache
def find_metric(name: str) -> Metric:
    """The metric of a name.

    Raises:
        DefinitionError: no such metric is installed, or its entry point is unusable.
    """
    point = REGISTRY.find(name)
    return METRICS[name] if point is None else _loaded(point)


def _loaded(point: EntryPoint) -> Metric:
    own = REGISTRY.load(point)
    wanted = {"name": [point.name], "direction": [*Direction]}
    for attribute, allowed in wanted.items():
        if (value := getattr(own, attribute, None)) not in allowed:
            listed = " or ".join(json.dumps(each) for each in allowed)
            raise DefinitionError(
                f"{REGISTRY.describe(point)} must have the {attribute} {listed}, "
                f"but got {json.dumps(value, default=str)}"
            )
    tasks = getattr(own, "tasks", None)
    if not (
        isinstance(tasks, list | tuple) and tasks and all(task in TIE_BREAKS for task in tasks)
    ):
        raise DefinitionError(
            f"{REGISTRY.describe(point)} must have tasks, some of {', '.join(TIE_BREAKS)}, "
            f"but got {json.dumps(tasks, default=str)}"
        )
    if not callable(getattr(own, "score", None)):
        raise DefinitionError(f"{REGISTRY.describe(point)} must have a method score")
    return Metric(direction=Direction(own.direction), tasks=tuple(tasks), own=own)


def loss_metric(task: str, metric: str) -> str:
    """The metric that stands for the loss in a study with this task and objective."""
    return metric if find_metric(metric).is_loss else TIE_BREAKS[task]


def selection_metric(task: str, metric: str) -> str:
    """The metric that the members of an ensemble are selected by.

    It is the loss instead of the accuracy: early stopping and the search have chosen the models by
    their accuracy on the same rows, so that it says little more about them.
    """
    return loss_metric(task, metric) if metric == "accuracy" else metric


_LONGEST_CLASS = 30
"""Maximum number of characters of a class in the label of a metric."""


def metric_label(name: str, positive: object = None) -> str:
    """A metric's name for people, on one line, with the positive class if it depends on it."""
    if positive is None or not find_metric(name).of_positive:
        return name
    said = " ".join(str(positive).split())
    if not said.isprintable():  # a terminal might interpret it
        said = said.encode("unicode_escape").decode()
    return f"{name} of {said if len(said) <= _LONGEST_CLASS else said[: _LONGEST_CLASS - 1] + '…'}"


def tie_break(metrics: Mapping[str, float]) -> float:
    """The loss among a trial's validation metrics, see `TIE_BREAKS`; infinite if unknown."""
    found = (metrics[name] for name in TIE_BREAKS.values() if name in metrics)
    return next((loss for loss in found if not math.isnan(loss)), math.inf)
