"""The values that describe one trial: its configuration, its measurements, its result.

A `TrialConfig` is complete: with the data at hand it can be run again with no database. These are
plain dataclasses, so that the training rooms need nothing but torch and the standard library; the
`Range` marks are read by pydantic where files are parsed (`hpo.config.parsing`) and by nobody
else.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Annotated, Any, Literal

from hpo.config.families import DEFAULT_FAMILY, ModelConfig, config_type

Task = Literal["binary", "multiclass", "regression"]
Numeric = Literal["quantile", "standard", "robust", "none"]
OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop"]
Loss = Literal["auto", "bce", "cross_entropy", "mse", "mae", "huber"]
Precision = Literal["auto", "float32", "bfloat16", "float64"]

STRICT = {"extra": "forbid"}  # pydantic: an unknown key is an error


@dataclass(frozen=True, kw_only=True)
class Range:
    """Allowed interval of a number; pydantic reads it through the hook below."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Add the bounds to the core schema (a plain dict) of the annotated number."""
        bounds = {key: value for key, value in vars(self).items() if value is not None}
        schema = handler(source)
        if schema["type"] == "float":
            bounds["allow_inf_nan"] = False
        return {**schema, **bounds}


@dataclass(frozen=True, kw_only=True)
class PreprocessingConfig:
    """How columns enter the network; fitted on the training part only.

    Attributes:
        numeric: how numbers are scaled.
        max_one_hot: a column with more categories enters as a code, for which the network learns
            an embedding; one with fewer enters one-hot.
    """

    numeric: Numeric = "quantile"
    max_one_hot: Annotated[int, Range(ge=0, le=65536)] = 65536

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and its rates; `weight_decay` and `l1` act on weight matrices only.

    `weight_decay` is added to the gradient as an L2 term by sgd, adam and rmsprop, and is decoupled
    from it in adamw (Loshchilov & Hutter 2019). `momentum` belongs to sgd; 0 is plain descent.
    """

    name: OptimizerName = "adamw"
    learning_rate: Annotated[float, Range(gt=0, le=100)] = 1e-3
    weight_decay: Annotated[float, Range(ge=0)] = 0.0
    l1: Annotated[float, Range(ge=0)] = 0.0
    momentum: Annotated[float, Range(ge=0, lt=1)] = 0.9

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The loop: epochs are full passes over the training part; `gradient_clip = 0` does not clip.

    Training stops after `patience` epochs without a better validation metric, or an equal one with
    a lower validation loss, and the best epoch's weights are kept.
    """

    batch_size: Annotated[int, Range(ge=1, le=1_000_000)] = 256
    max_epochs: Annotated[int, Range(ge=1, le=100_000)] = 200
    patience: Annotated[int, Range(ge=1, le=100_000)] = 16
    loss: Loss = "auto"
    gradient_clip: Annotated[float, Range(ge=0)] = 1.0
    precision: Precision = "auto"
    seed: Annotated[int, Range(ge=0, lt=2**31)] = 0

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Which rows train, validate and test: a column that says so, or seeded shares of the rows.

    `test = 0` leaves no test part, for those who keep test rows elsewhere.
    """

    column: str | None = None
    val: Annotated[float, Range(gt=0, lt=1)] = 0.15
    test: Annotated[float, Range(ge=0, lt=1)] = 0.15
    seed: Annotated[int, Range(ge=0, lt=2**31)] = 0

    __pydantic_config__ = STRICT


LEFT_TO_THE_TABLE = (
    "dates",
    "positive",
    "separator",
    "decimal",
    "thousands",
    "missing",
    "date_order",
    "max_categories",
)
"""Keys of `DataConfig` that stand in a file only where they say something."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the table is and what its columns mean.

    `task = "auto"` and `fingerprint = ""` are what a file may leave open; a study's stored
    definition has both filled in. Paths are relative to the file that names them.

    Attributes:
        drop: columns that are left out.
        numeric: columns that are numbers, whatever their cells look like.
        categorical: columns that are categories, such as codes written as numbers.
        dates: columns that are dates, such as 20240203.
        positive: the class that f1 is of in a binary task; the rarer one where it is not named.
        separator: between the cells of a text file; else what the file shows.
        decimal: the decimal mark of numbers in text; else what the table shows.
        thousands: what parts groups of digits; "" where nothing does.
        missing: words that are missing values in a text file, in place of the usual ones. An empty
            cell always is.
        date_order: which comes first in dates such as 03/02/2024; else what the table shows.
        max_categories: so many of a column's categories, the most frequent in training, are told
            apart; others count as unseen.
    """

    source: str
    target: str
    task: Task | Literal["auto"] = "auto"
    split: SplitConfig = field(default_factory=SplitConfig)
    drop: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    positive: str | int | float | bool | None = None
    separator: Literal[",", ";", "\t", "|"] | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal["", ",", ".", " ", "'"] | None = None
    missing: tuple[str, ...] | None = None
    date_order: Literal["ymd", "dmy", "mdy"] | None = None
    max_categories: Annotated[int, Range(ge=2, le=65536)] = 256
    fingerprint: str = ""

    __pydantic_config__ = STRICT


def data_tree(data: DataConfig) -> dict[str, Any]:
    """As a file says it: without what it leaves to the table, the split by a column or shares."""
    tree = asdict(data)
    for part in fields(data):
        if part.name in LEFT_TO_THE_TABLE and getattr(data, part.name) == part.default:
            del tree[part.name]
    if data.split.column is None:
        del tree["split"]["column"]
    else:
        tree["split"] = {"column": data.split.column}
    return tree


class Direction(StrEnum):
    """Which way a metric gets better; equal to the word that Optuna and JSON use."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    @property
    def sign(self) -> float:
        """1 or -1: of two values, the better one is lower after multiplication by the sign."""
        return 1.0 if self is Direction.MINIMIZE else -1.0

    @property
    def preferred(self) -> str:
        """A word for people: which values are better."""
        return "lower" if self is Direction.MINIMIZE else "higher"

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another."""
        return self.sign * value < self.sign * other

    def best(self, values: Iterable[float]) -> float:
        """The best value; there must be one."""
        return min(values, key=lambda value: self.sign * value)

    def best_first(self, values: Iterable[float]) -> list[float]:
        """The values in order, the best one first."""
        return sorted(values, key=lambda value: self.sign * value)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric's direction, the tasks it is defined for, and whether it is of the positive class.

    The last is so in a binary task alone.
    """

    direction: Direction
    tasks: tuple[Task, ...]
    of_positive: bool = False


CLASSES: tuple[Task, ...] = ("binary", "multiclass")
METRICS: dict[str, Metric] = {
    "accuracy": Metric(direction=Direction.MAXIMIZE, tasks=CLASSES),
    "balanced_accuracy": Metric(direction=Direction.MAXIMIZE, tasks=CLASSES),
    "f1": Metric(direction=Direction.MAXIMIZE, tasks=CLASSES, of_positive=True),
    "roc_auc": Metric(direction=Direction.MAXIMIZE, tasks=CLASSES),
    "log_loss": Metric(direction=Direction.MINIMIZE, tasks=CLASSES),
    "rmse": Metric(direction=Direction.MINIMIZE, tasks=("regression",)),
    "mae": Metric(direction=Direction.MINIMIZE, tasks=("regression",)),
    "r2": Metric(direction=Direction.MAXIMIZE, tasks=("regression",)),
}
MetricName = Literal[
    "accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "rmse", "mae", "r2"
]
TIE_BREAKS: dict[Task, MetricName] = {
    "binary": "log_loss",
    "multiclass": "log_loss",
    "regression": "rmse",
}
"""The loss as a metric: of two equals in the objective the one with the lower loss is better."""


LONGEST_CLASS = 30
"""Characters of a class in a metric's name."""


def metric_label(name: str, positive: object = None) -> str:
    """A metric's name for people, in a line, with the class that it is of, if it is of one."""
    if positive is None or not METRICS[name].of_positive:
        return name
    said = " ".join(str(positive).split())
    if not said.isprintable():  # it might command a terminal
        said = said.encode("unicode_escape").decode()
    return f"{name} of {said if len(said) <= LONGEST_CLASS else said[: LONGEST_CLASS - 1] + '…'}"


LOSSES: dict[Task, tuple[Loss, ...]] = {
    "binary": ("bce",),
    "multiclass": ("cross_entropy",),
    "regression": ("mse", "mae", "huber"),
}
"""Losses a task admits; the first is what `auto` means."""


def tie_break(metrics: Mapping[str, float]) -> float:
    """The loss among a trial's validation metrics, by `TIE_BREAKS`; infinite where unknown."""
    found = (metrics[name] for name in TIE_BREAKS.values() if name in metrics)
    return next((loss for loss in found if not math.isnan(loss)), math.inf)


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The validation metric that is searched, pruned, stopped and ranked by."""

    metric: MetricName

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Everything that one training run depends on; what `config.toml` of an export holds."""

    data: DataConfig
    objective: ObjectiveConfig
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    model: ModelConfig = field(default_factory=lambda: config_type(DEFAULT_FAMILY)())
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one finished epoch (`step`, from 1) measured on the validation part."""

    step: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What a bit-for-bit repetition depends on besides the configuration; kept with each trial.

    `precision` is what `auto` was resolved to.
    """

    device: str
    n_threads: int
    precision: Precision
    torch: str
