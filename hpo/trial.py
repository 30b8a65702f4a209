"""The values that describe one trial: its configuration, its measurements, its result.

A `TrialConfig` is complete: with the data at hand it can be run again with no database. These are
plain dataclasses, so that the training rooms need nothing but torch and the standard library; the
`Range` marks are read by pydantic where files are parsed (`hpo.parsing`), and by nobody else.

Does not know: where a trial runs, who asked for it, how tensors are made.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

Task = Literal["binary", "multiclass", "regression"]
Numeric = Literal["quantile", "standard", "robust", "none"]
Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu", "mish"]
OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop"]
Loss = Literal["auto", "bce", "cross_entropy", "mse", "mae", "huber"]
Precision = Literal["auto", "float32", "bfloat16", "float64"]
Direction = Literal["minimize", "maximize"]

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
    """How numeric columns are scaled; fitted on the training part only."""

    numeric: Numeric = "quantile"

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """An MLP: `depth` hidden layers of `width` units, each followed by activation and dropout."""

    depth: Annotated[int, Range(ge=1, le=64)] = 3
    width: Annotated[int, Range(ge=1, le=65536)] = 256
    activation: Activation = "relu"
    dropout: Annotated[float, Range(ge=0, lt=1)] = 0.0

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

    Training stops after `patience` epochs without a better validation metric, and the best epoch's
    weights are kept.
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


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the table is and what its columns mean.

    `task = "auto"` and `fingerprint = ""` are what a file may leave open; a study's stored
    definition has both filled in. Paths are relative to the file that names them.
    """

    source: str
    target: str
    task: Task | Literal["auto"] = "auto"
    split: SplitConfig = field(default_factory=SplitConfig)
    drop: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    fingerprint: str = ""

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric's direction and the tasks it is defined for."""

    direction: Direction
    tasks: tuple[Task, ...]


CLASSES: tuple[Task, ...] = ("binary", "multiclass")
METRICS: dict[str, Metric] = {
    "accuracy": Metric(direction="maximize", tasks=CLASSES),
    "balanced_accuracy": Metric(direction="maximize", tasks=CLASSES),
    "f1": Metric(direction="maximize", tasks=CLASSES),
    "roc_auc": Metric(direction="maximize", tasks=CLASSES),
    "log_loss": Metric(direction="minimize", tasks=CLASSES),
    "rmse": Metric(direction="minimize", tasks=("regression",)),
    "mae": Metric(direction="minimize", tasks=("regression",)),
    "r2": Metric(direction="maximize", tasks=("regression",)),
}
MetricName = Literal[
    "accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "rmse", "mae", "r2"
]
LOSSES: dict[Task, tuple[Loss, ...]] = {
    "binary": ("bce",),
    "multiclass": ("cross_entropy",),
    "regression": ("mse", "mae", "huber"),
}
"""Losses a task admits; the first is what `auto` means."""


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
    model: ModelConfig = field(default_factory=ModelConfig)
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
