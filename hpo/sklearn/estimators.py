"""The estimators: from parameters to a study, and from its winner to predictions."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
import optuna
import polars
from optuna.study import StudyDirection
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hpo.config.definition import StudyDefinition
from hpo.config.errors import AmbiguousCellsError, HpoError, InputError
from hpo.config.trial import MetricName, Task
from hpo.data.sources import RawTable, as_frame
from hpo.data.table import typed_table
from hpo.files.store import ArtifactStore
from hpo.lifecycle.creation import create
from hpo.lifecycle.draft import suited_batch_size
from hpo.models.model import Model
from hpo.results.leaderboard_table import to_table
from hpo.results.stored import stored_model
from hpo.sklearn.rows import Array, as_table, chosen, free_name, label_texts
from hpo.sklearn.work import carry_out, plan
from hpo.study.leaderboard import leaderboard
from hpo.study.study import Study

MIN_ROWS = 2
"""One to train and one to validate."""


class _MLPSearch(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What the estimators have in common."""

    _default_metric: MetricName

    def __init__(
        self,
        *,
        n_trials: int = 50,
        timeout: str | float | None = None,
        search_space: str | dict[str, Any] = "mlp",
        metric: MetricName | None = None,
        val: float = 0.15,
        categorical: Sequence[str | int] = (),
        max_epochs: int | None = None,
        patience: int | None = None,
        batch_size: int | None = None,
        workers: int = 1,
        device: str = "auto",
        random_state: Any = 0,
        storage: str | None = None,
        artifacts: str | None = None,
        study_name: str | None = None,
    ) -> None:
        self.n_trials = n_trials
        self.timeout = timeout
        self.search_space = search_space
        self.metric = metric
        self.val = val
        self.categorical = categorical
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.workers = workers
        self.device = device
        self.random_state = random_state
        self.storage = storage
        self.artifacts = artifacts
        self.study_name = study_name

    def fit(self, X: Any, y: Any) -> Self:
        """Search, and keep the winner.

        Rows cannot be weighted.

        Args:
            X: (rows, features) a pandas or polars DataFrame or an array, with text and missing
                values as they come.
            y: (rows,) labels or numbers.

        Raises:
            ValueError: a parameter, the rows or the target cannot be used, and why.
            HpoError: the search failed, or was over before any trial.
        """
        with _value_errors():
            table = as_table(X, MIN_ROWS)
            validate_data(self, X, y, skip_check_array=True)  # its features' number and names
            target = self._check_target(y)
            check_consistent_length(X, target)
            self._search(table, target)
            self._names = table.columns
        return self

    def _check_target(self, y: Any) -> Array:
        """What is to be predicted, (rows,), nothing missing."""
        raise NotImplementedError

    def _task(self) -> Task:
        """What kind of prediction, after `_check_target`."""
        raise NotImplementedError

    def _predicted(self, X: Any) -> polars.DataFrame:
        """What the winner says of rows."""
        check_is_fitted(self, "model_")
        with _value_errors():
            table = as_table(X, 1)
            validate_data(self, X, reset=False, skip_check_array=True)
            table.columns = self._names
            return self.model_.predict(table)

    def _search(self, table: polars.DataFrame, target: Array) -> None:
        definition = self._definition(table)
        workplace = plan(self.workers, self.device)
        frame = table.with_columns(as_frame({definition.data.target: target}).to_series())
        raw = RawTable(frame=frame, is_text=False, where="X")
        typed = typed_table(raw, definition.data)
        with ExitStack() as stack:
            storage, artifacts = self._places(stack)
            study, store = create(definition, typed, storage, artifacts, where=type(self).__name__)
            stack.callback(study.storage.close)
            carry_out(study, store, workplace)
            self._take(study, store)

    def _take(self, study: Study, store: ArtifactStore) -> None:
        """Learn from a study that is over."""
        if not (rows := leaderboard(study)):
            counts = ", ".join(f"{n} {state}" for state, n in study.progress().counts.items())
            raise HpoError(
                f"study {study.name} is over without a COMPLETE trial ({counts}): "
                "allow it more trials or more time"
            )
        self.model_ = stored_model(store, rows[0])
        self.best_params_, self.best_score_ = rows[0].params, rows[0].value
        self.leaderboard_ = to_table(rows)
        self.study_ = optuna.create_study(
            study_name=study.name, direction=StudyDirection[study.definition.direction.name]
        )
        self.study_.add_trials(study.trials())
        self.notes_ = study.notes

    def _definition(self, table: polars.DataFrame) -> StudyDefinition:
        seed = _seed(self.random_state)
        training = {
            "max_epochs": self.max_epochs,
            "patience": self.patience,
            "batch_size": self.batch_size,
            "seed": seed,
        }
        tree = {
            "name": self.study_name or f"{type(self).__name__}-{secrets.token_hex(4)}",
            "search_space": self.search_space,
            "data": {
                "source": "X",
                "target": free_name(table.columns),
                "task": self._task(),
                "split": {"val": self._val(table.height), "test": 0, "seed": seed},
                "categorical": chosen(self.categorical, table.columns),
            },
            "objective": {"metric": self.metric or self._default_metric},
            "training": _given(training),
            "sampler": {"name": "tpe", "seed": seed},
            "budget": _given({"n_trials": self.n_trials, "timeout": self.timeout}),
        }
        definition = StudyDefinition.from_tree(tree, type(self).__name__, Path())
        space = definition.space
        if "training.batch_size" in {**space.constants, **space.tunables}:
            return definition
        size = suited_batch_size(table.height)
        return replace(definition, space=space.fixed({"training.batch_size": size}))

    def _val(self, n_rows: int) -> float:
        """The share of the rows that validate: R² has no value on a single one."""
        return max(self.val, 2 / n_rows) if 0 < self.val < 1 and n_rows > 4 else self.val

    def _places(self, stack: ExitStack) -> tuple[str, str]:
        """Where storage and artifacts are; temporary ones last as long as the stack."""
        if self.storage is not None:
            return self.storage, self.artifacts or "hpo-artifacts"
        if self.artifacts is not None:
            raise InputError("artifacts needs a storage: without one, nothing is kept")
        folder = stack.enter_context(TemporaryDirectory(prefix="hpo-"))
        return f"sqlite:///{folder}/hpo.db", f"{folder}/artifacts"

    def __getstate__(self) -> dict[str, Any]:
        """The model as its file's bytes; the study stays behind."""
        state = {key: value for key, value in super().__getstate__().items() if key != "study_"}
        if "model_" in state:
            state["model_"] = self.model_.to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read the model back, which runs no code."""
        if "model_" in state:
            state = {**state, "model_": Model.from_bytes(state["model_"], "the pickled model")}
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """What rows may hold."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags


class MLPSearchClassifier(ClassifierMixin, _MLPSearch):  # type: ignore[misc]
    """An MLP for classes, found by a hyperparameter search.

    Args:
        n_trials: configurations to try; the first is the search space's default.
        timeout: when to stop at the latest: seconds, or such as "30m".
        search_space: the name of one that comes with hpo, the path of a TOML file, or its content
            as a dict.
        metric: by which trials are ranked on the validation rows: accuracy (which None means),
            balanced_accuracy, f1, roc_auc or log_loss.
        val: the share of the rows that validate, at least two of them; the others train.
        categorical: columns of numbers that are categories, by name or by place. Columns of text
            always are.
        max_epochs: of each trial. None: what the search space says, or 200.
        patience: epochs without a better validation metric that end a trial. None: what the search
            space says, or 16.
        batch_size: None: what the search space says, or 32 to 1024 by the number of rows.
        workers: 1 searches in this process, with one thread. More are worker processes, which
            share the GPUs where there are any; then a search cannot be repeated exactly.
        device: "auto" (a GPU where there is one), "cpu", "cuda" or such as "cuda:1".
        random_state: the seed of everything: an int, None for another one at each fit, or a
            RandomState.
        storage: URL of the database that keeps the study, such as "sqlite:///hpo.db". None: a
            temporary one. A password in it shows wherever the estimator is printed or pickled.
        artifacts: where a study that is kept has its weights. None: "hpo-artifacts".
        study_name: None: a new name at each fit. A study of that name in the storage, if it is of
            the same rows and parameters, is gone on with.

    Attributes:
        model_: the winner; it predicts on DataFrames, as what `hpo.load_model` returns.
        best_params_: its params.
        best_score_: its validation metric.
        leaderboard_: the COMPLETE trials, best first, a polars DataFrame.
        study_: the search as an Optuna study in memory. A pickled estimator goes without.
        classes_: the labels.
        notes_: what was taken otherwise than you might expect, a sentence each.
        n_features_in_: the number of columns.
        feature_names_in_: their names, where all are text.
    """

    _default_metric = "accuracy"

    def predict(self, X: Any) -> Array:
        """The likeliest label of each row."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        labels: Array = self.classes_[likeliest]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """(rows, classes) probabilities, in the order of `classes_`."""
        found = self._predicted(X)
        columns = found.select(f"probability_{text}" for text in label_texts(self.classes_))
        return columns.to_numpy().astype(np.float64)

    def _check_target(self, y: Any) -> Array:
        checked = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        target: Array = column_or_1d(checked, warn=True)
        if target.dtype == object and None in target.tolist():
            raise InputError("y must hold a label in every row, but some are None")
        check_classification_targets(target)
        self.classes_ = np.unique(target)
        label_texts(self.classes_)  # refuses those that the model could not tell apart
        return target

    def _task(self) -> Task:
        return "binary" if len(self.classes_) == 2 else "multiclass"


class MLPSearchRegressor(RegressorMixin, _MLPSearch):  # type: ignore[misc]
    """An MLP for numbers, found by a hyperparameter search.

    Parameters and attributes are those of `MLPSearchClassifier`, without `classes_`; `metric` is
    r2 (which None means), rmse or mae.
    """

    _default_metric = "r2"

    def predict(self, X: Any) -> Array:
        """A number for each row."""
        return self._predicted(X)["prediction"].to_numpy().astype(np.float64)

    def _check_target(self, y: Any) -> Array:
        checked = check_array(y, ensure_2d=False, input_name="y")
        target: Array = column_or_1d(checked, warn=True)
        return target

    def _task(self) -> Task:
        return "regression"


@contextmanager
def _value_errors() -> Iterator[None]:
    """What hpo says of wrong input, as scikit-learn would."""
    try:
        yield
    except AmbiguousCellsError as error:
        sentence = str(error).removesuffix("say which")
        raise ValueError(f"{sentence}convert the column before the fit") from None
    except InputError as error:
        raise ValueError(str(error)) from None


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
