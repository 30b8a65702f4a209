"""The configuration, the measurements and the environment of a trial.

A `TrialConfig` is complete: together with the table, it reproduces a trial without a database. All
values are plain dataclasses, so that `hpo.training` needs only torch and the standard library.
Only `hpo.config.parsing` reads the `Range` annotations, through pydantic.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, Literal

from hpo.config.families import DEFAULT_FAMILY, ModelConfig, config_type, model_tree
from hpo.config.metrics import MetricName

Task = Literal["binary", "multiclass", "regression"]
Numeric = Literal["quantile", "standard", "robust", "none"]
Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu", "mish"]
OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop"]
Loss = Literal[
    "auto", "bce", "cross_entropy", "focal", "mse", "mae", "huber", "quantile", "poisson"
]
TargetTransform = Literal["none", "log1p"]
Precision = Literal["auto", "float32", "bfloat16", "float64"]
ScheduleName = Literal["constant", "cosine", "flat_cosine", "coslog4"]

DEFAULT_PATIENCE = 16
"""The default of `patience` with a constant learning rate."""

ENSEMBLE_SIZE = 16
"""Maximum number of models in an ensemble, unless the user sets another. A pruned trial keeps its
weights, for ensembles, if it is better than one of so many best trials."""

STRICT = {"extra": "forbid"}  # pydantic: an unknown key is an error


@dataclass(frozen=True, kw_only=True)
class Range:
    """The allowed interval of a number, which pydantic reads through the hook below."""

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
    """The preprocessing of columns, fitted to the training part.

    Attributes:
        numeric: the scaling of numbers.
        max_one_hot: a column with more categories enters the network as a code, for which the
            network learns an embedding. Other columns are one-hot.
    """

    numeric: Numeric = "quantile"
    max_one_hot: Annotated[int, Range(ge=0, le=65536)] = 65536

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The optimizer and its rates; `weight_decay` and `l1` apply only to weight matrices.

    sgd, adam and rmsprop add `weight_decay` to the gradient as an L2 term; adamw decouples it
    (Loshchilov & Hutter 2019). Only sgd uses `momentum`; 0 is plain gradient descent. Only adam and
    adamw use `beta1` and `beta2`, the decay rates of the means of gradients and of their squares.
    """

    name: OptimizerName = "adamw"
    learning_rate: Annotated[float, Range(gt=0, le=100)] = 1e-3
    weight_decay: Annotated[float, Range(ge=0)] = 0.0
    l1: Annotated[float, Range(ge=0)] = 0.0
    momentum: Annotated[float, Range(ge=0, lt=1)] = 0.9
    beta1: Annotated[float, Range(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Range(ge=0, lt=1)] = 0.999

    __pydantic_config__ = STRICT


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The training loop; an epoch is a full pass, and `gradient_clip = 0` disables clipping.

    Training stops after `patience` epochs without a better validation metric, or an equal metric
    with a lower validation loss, and keeps the weights of the best epoch. Without `patience` it is
    16 for a constant learning rate; with another `schedule`, which depends on `max_epochs`, all
    epochs are trained. The learning rate rises linearly from 0 during the first `warmup_steps`
    updates. `label_smoothing` is the share of a class label that is spread over all classes. Only
    the loss `focal` uses `focal_gamma`, the exponent of its factor (Lin et al. 2017).
    `target_transform` is applied to the targets of a regression, and undone in predictions.
    """

    batch_size: Annotated[int, Range(ge=1, le=1_000_000)] = 256
    max_epochs: Annotated[int, Range(ge=1, le=100_000)] = 200
    patience: Annotated[int, Range(ge=1, le=100_000)] | None = None
    schedule: ScheduleName = "constant"
    warmup_steps: Annotated[int, Range(ge=0, le=2**31 - 1)] = 0
    loss: Loss = "auto"
    focal_gamma: Annotated[float, Range(ge=0, le=100)] = 2.0
    target_transform: TargetTransform = "none"
    label_smoothing: Annotated[float, Range(ge=0, lt=1)] = 0.0
    gradient_clip: Annotated[float, Range(ge=0)] = 1.0
    precision: Precision = "auto"
    seed: Annotated[int, Range(ge=0, lt=2**31)] = 0

    __pydantic_config__ = STRICT

    def __post_init__(self) -> None:
        """Set the default patience of a constant learning rate."""
        if self.patience is None and self.schedule == "constant":
            object.__setattr__(self, "patience", DEFAULT_PATIENCE)


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """The split into training, validation and test rows: by a column, or by seeded shares.

    Attributes:
        column: a column whose cells say train, val or test; with `folds`, train or test.
        val: the share of the validation rows.
        test: the share of the test rows; 0 makes no test part, for users who keep test rows
            elsewhere.
        seed: of the order in which rows or groups are dealt out.
        folds: the number of folds. Each is the validation part of a model that trains on the
            others.
        groups: a column; rows with the same value are in the same part.
        time: a column of dates or numbers; the validation rows are later than the training rows,
            and the test rows are the latest.
    """

    column: str | None = None
    val: Annotated[float, Range(gt=0, lt=1)] = 0.15
    test: Annotated[float, Range(ge=0, lt=1)] = 0.15
    seed: Annotated[int, Range(ge=0, lt=2**31)] = 0
    folds: Annotated[int, Range(ge=2, le=100)] | None = None
    groups: str | None = None
    time: str | None = None

    __pydantic_config__ = STRICT

    @property
    def excluded(self) -> dict[str, set[str]]:
        """The keys that have no meaning, by the key that excludes them."""
        excluded: dict[str, set[str]] = {}
        if self.column is not None:
            excluded["column"] = {"val", "test"} if self.folds else {"val", "test", "seed"}
        if self.folds is not None:
            excluded["folds"] = {"val"}
        if self.time is not None:
            excluded["time"] = {"seed", "groups"}
        return excluded


_OMITTED_AT_DEFAULT = {
    "data": (
        *("copy", "dates", "positive", "separator", "decimal", "thousands", "missing"),
        *("date_order", "max_categories", "weight", "class_weight"),
    ),
    "objective": ("quantile", "k", "calibrate", "threshold"),
    "optimizer": ("beta1", "beta2"),
    "training": (
        *("patience", "schedule", "warmup_steps", "label_smoothing"),
        *("focal_gamma", "target_transform"),
    ),
}
"""Keys by section that are not written where they have their default value."""


def _written(section: str, config: Any) -> dict[str, Any]:
    """A section without the keys of `_OMITTED_AT_DEFAULT` that have their default value."""
    tree = asdict(config)
    for part in fields(config):
        omitted = part.name in _OMITTED_AT_DEFAULT[section]
        if omitted and getattr(config, part.name) == part.default:
            del tree[part.name]
    return tree


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The table and the meaning of its columns.

    A file may omit `task` and `fingerprint`; a stored definition contains both. Paths are relative
    to the file that contains them.

    Attributes:
        drop: columns to ignore.
        numeric: columns of numbers, whatever their cells look like.
        categorical: columns of categories, for example codes written as numbers.
        dates: columns of dates, for example 20240203.
        positive: the positive class of a binary task, for f1; by default the rarer class.
        separator: the cell separator of a text file; by default detected from the file.
        decimal: the decimal mark of numbers in text; by default detected from the table.
        thousands: the thousands separator, "" for none; by default detected from the table.
        missing: words that mean a missing value in a text file, instead of the usual ones. An
            empty cell is always missing.
        date_order: the order of dates such as 03/02/2024; by default detected from the table.
        max_categories: the number of categories to encode per column, the most frequent in
            training; others count as unseen.
        weight: a column of weights of the rows in the loss and in all metrics; it is no feature.
        class_weight: weights of the classes in the loss: of each class, or "balanced" for weights
            that give all classes equal shares of the training part.
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
    weight: str | None = None
    class_weight: Literal["balanced"] | dict[str, Annotated[float, Range(gt=0)]] | None = None
    fingerprint: str = ""

    __pydantic_config__ = STRICT


def data_tree(data: DataConfig) -> dict[str, Any]:
    """`[data]` as a file holds it: arrays as lists, and the split without keys it does not use."""
    tree: dict[str, Any] = json.loads(json.dumps(_written("data", data)))
    unused: set[str] = set().union(*data.split.excluded.values())
    split = tree["split"].items()
    tree["split"] = {key: value for key, value in split if value is not None and key not in unused}
    return tree


LOSSES: dict[Task, tuple[Loss, ...]] = {
    "binary": ("bce", "focal"),
    "multiclass": ("cross_entropy", "focal"),
    "regression": ("mse", "mae", "huber", "quantile", "poisson"),
}
"""The losses of each task; the first is the default (`auto`), except for the metric `pinball`."""


def resolve_loss(loss: Loss, task: Task, metric: MetricName) -> Loss:
    """The loss that `auto` stands for; any other loss is itself."""
    if loss != "auto":
        return loss
    return "quantile" if metric == "pinball" else LOSSES[task][0]


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The validation metric for search, pruning, early stopping and ranking.

    Attributes:
        metric: its name.
        quantile: of the metric `pinball` and the loss `quantile`.
        k: of `top_k_accuracy`.
        calibrate: fit a temperature to the predictions on the validation part; for classes.
        threshold: fit the decision threshold to the metric on the validation part; for two classes
            and a metric of the predicted classes. None predicts the likeliest class.
    """

    metric: MetricName
    quantile: Annotated[float, Range(gt=0, lt=1)] | None = None
    k: Annotated[int, Range(ge=1, le=65536)] | None = None
    calibrate: Literal["temperature"] | None = None
    threshold: Literal["tuned"] | None = None

    __pydantic_config__ = STRICT

    def to_tree(self) -> dict[str, Any]:
        """`[objective]` as a file holds it."""
        return _written("objective", self)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is fitted to a trained classifier's predictions on the validation part.

    Attributes:
        temperature: divides the logits.
        threshold: probability above which a row belongs to the positive class; None predicts the
            likeliest class.
    """

    temperature: Annotated[float, Range(gt=0)] = 1.0
    threshold: Annotated[float, Range(ge=0, le=1)] | None = None

    __pydantic_config__ = STRICT

    def to_tree(self) -> dict[str, float]:
        """The values that are not the default, by name."""
        return {
            part.name: value
            for part in fields(self)
            if (value := getattr(self, part.name)) != part.default
        }


@dataclass(frozen=True, kw_only=True)
class RefitConfig:
    """Training on the training and validation rows together.

    Without validation rows no epoch is known to be the best: the number of epochs is given, and the
    weights of the last one are kept. `max_epochs` still plans the learning-rate schedule.

    Attributes:
        n_epochs: epochs to train, at most `max_epochs`.
        calibration: that of the trial, which a refit cannot fit.
    """

    n_epochs: Annotated[int, Range(ge=1, le=100_000)]
    calibration: Calibration = field(default_factory=Calibration)

    __pydantic_config__ = STRICT

    def to_tree(self) -> dict[str, Any]:
        """`[refit]` as a file holds it."""
        kept = self.calibration.to_tree()
        return {"n_epochs": self.n_epochs, **({"calibration": kept} if kept else {})}


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """Everything that one training run depends on: the `config.toml` that `hpo train` takes.

    `refit` is None for the trials of a search.
    """

    data: DataConfig
    objective: ObjectiveConfig
    preprocessing: PreprocessingConfig = field(default_factory=PreprocessingConfig)
    model: ModelConfig = field(default_factory=lambda: config_type(DEFAULT_FAMILY)())
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    refit: RefitConfig | None = None

    __pydantic_config__ = STRICT

    def to_tree(self) -> dict[str, Any]:
        """The configuration by section, as `config.toml` and model files hold it."""
        sections = ("objective", "optimizer", "training")
        changed = {name: _written(name, getattr(self, name)) for name in sections}
        data, model = data_tree(self.data), model_tree(self.model)
        objective = self.objective.to_tree()
        tree = {**asdict(self), **changed, "data": data, "objective": objective, "model": model}
        if self.refit is None:
            del tree["refit"]
        else:
            tree["refit"] = self.refit.to_tree()
        return tree

    def to_toml(self, note: str) -> str:
        """The text of `config.toml`; the note is its first line."""
        import tomli_w  # here: training needs torch and the standard library alone

        text = tomli_w.dumps(self.to_tree())
        return f"# {note}\n# `hpo train config.toml` trains it again.\n\n{text}"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The validation metric of a finished epoch; `step` counts from 1."""

    step: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The environment of a trial, on which exact reproduction depends, too.

    `precision` is the resolved one, never `auto`.
    """

    device: str
    n_threads: int
    precision: Precision
    torch: str
