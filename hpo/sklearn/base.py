"""The base class of the estimators: it searches with a study, and keeps the best models."""

import logging
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
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from hpo.config.definition import StudyDefinition
from hpo.config.errors import AmbiguousCellsError, HpoError, InputError
from hpo.config.metrics import MetricName
from hpo.config.trial import ENSEMBLE_SIZE, Task
from hpo.data.sources import RawTable, as_frame
from hpo.data.table import typed_table
from hpo.launch.refit import refit_trial
from hpo.launch.single import choose_device
from hpo.lifecycle.creation import CreatedStudy, create
from hpo.lifecycle.draft import suited_batch_size
from hpo.models.ensemble import TrialModel
from hpo.models.loading import read_model
from hpo.results.ensemble import compare
from hpo.results.leaderboard_table import to_table
from hpo.results.stored import stored_model
from hpo.sklearn.rows import Array, as_table, column_names, free_name
from hpo.sklearn.work import plan_search
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row, leaderboard

log = logging.getLogger(__name__)

MIN_ROWS = 2
"""One row for training and one for validation."""


class MLPSearch(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Searches, and predicts with the best model or ensemble."""

    _default_metric: MetricName

    def __init__(
        self,
        *,
        n_trials: int = 50,
        timeout: str | float | None = None,
        search_space: str | dict[str, Any] = "mlp",
        metric: MetricName | None = None,
        quantile: float | None = None,
        k: int | None = None,
        loss: str | None = None,
        target_transform: str | None = None,
        calibrate: str | None = None,
        threshold: str | None = None,
        val: float = 0.15,
        folds: int | None = None,
        class_weight: Any = None,
        categorical: Sequence[str | int] = (),
        max_epochs: int | None = None,
        patience: int | None = None,
        batch_size: int | None = None,
        refit: bool = False,
        workers: int = 1,
        device: str = "auto",
        random_state: Any = 0,
        storage: str | None = None,
        artifacts: str | None = None,
        study_name: str | None = None,
        ensemble: int = ENSEMBLE_SIZE,
    ) -> None:
        self.n_trials = n_trials
        self.timeout = timeout
        self.search_space = search_space
        self.metric = metric
        self.quantile = quantile
        self.k = k
        self.loss = loss
        self.target_transform = target_transform
        self.calibrate = calibrate
        self.threshold = threshold
        self.val = val
        self.folds = folds
        self.class_weight = class_weight
        self.categorical = categorical
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.refit = refit
        self.workers = workers
        self.device = device
        self.random_state = random_state
        self.storage = storage
        self.artifacts = artifacts
        self.study_name = study_name
        self.ensemble = ensemble

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Search, and keep the best trial's model and an ensemble.

        Args:
            X: (rows, features) pandas or polars DataFrame or array. It may hold text and missing
                values.
            y: (rows,) labels or numbers.
            sample_weight: (rows,) weights of the rows in the loss and in the metric; None if all
                are equal.

        Raises:
            ValueError: a parameter, `X`, `y` or `sample_weight` is invalid.
            HpoError: the search failed, or ended without a COMPLETE trial.
        """
        with _value_errors():
            table = as_table(X, MIN_ROWS)
            validate_data(
                self, X, y, skip_check_array=True
            )  # sets the number and names of the features
            target = self._check_target(y)
            check_consistent_length(X, target)
            columns = {"target": target}
            if sample_weight is not None:
                weight = check_array(sample_weight, ensure_2d=False, input_name="sample_weight")
                columns["weight"] = column_or_1d(weight)
                check_consistent_length(X, weight)
            self._search(table, columns)
            self._names = table.columns
        return self

    def _check_target(self, y: Any) -> Array:
        """Validate the target; returns (rows,) values, none missing."""
        raise NotImplementedError

    def _task(self) -> Task:
        """The task; call `_check_target` before."""
        raise NotImplementedError

    def _class_weight(self) -> Any:
        """The weights of the classes, as a study file has them; call `_check_target` before."""
        return self.class_weight

    def _search(self, table: polars.DataFrame, columns: dict[str, Array]) -> None:
        """Search on the features and further columns: `target` and, if given, `weight`."""
        if not isinstance(self.ensemble, int | np.integer) or self.ensemble < 0:
            raise InputError(f"ensemble must be a number from 0, but got {self.ensemble!r}")
        names = {role: free_name(table.columns, role) for role in columns}
        definition = self._definition(table, names)
        search = plan_search(self.workers, self.device)
        added = as_frame({name: columns[role] for role, name in names.items()})
        frame = table.with_columns(added.get_columns())
        raw = RawTable(frame=frame, is_text=False, where="X")
        typed = typed_table(raw, definition.data)
        with ExitStack() as stack:
            storage, artifacts = self._places(stack)
            created = create(definition, typed, storage, artifacts, where=type(self).__name__)
            stack.callback(created.study.storage.close)
            search(created)
            self._set_results(created)

    def _set_results(self, created: CreatedStudy) -> None:
        """Set the fitted attributes from a finished study."""
        study, artifacts = created.study, StudyArtifacts(study=created.study, store=created.store)
        if not (rows := leaderboard(study)):
            raise HpoError(
                f"study {study.name} is over without a COMPLETE trial "
                f"({study.progress().counts_text}): allow it more trials or more time"
            )
        self.model_, self.ensemble_ = self._best_model(created, rows[0]), None
        if self.ensemble and not self.refit:
            compared = compare(artifacts, created.experiment, int(self.ensemble))
            if compared.best is compared.ensemble:
                self.ensemble_ = compared.ensemble
        self.best_params_, self.best_score_ = rows[0].params, rows[0].value
        self.leaderboard_ = to_table(rows)
        self.study_ = optuna.create_study(
            study_name=study.name, direction=StudyDirection[study.definition.direction.name]
        )
        self.study_.add_trials(study.trials())
        self.notes_ = study.notes

    def _best_model(self, created: CreatedStudy, best: Row) -> TrialModel:
        if not self.refit:
            return stored_model(created.store, best)
        experiment, device = created.experiment.for_refit(), choose_device(self.device)
        return refit_trial(created.study, experiment, best, device, log.info)

    def _definition(self, table: polars.DataFrame, names: dict[str, str]) -> StudyDefinition:
        seed = _seed(self.random_state)
        training = {
            "max_epochs": self.max_epochs,
            "patience": self.patience,
            "batch_size": self.batch_size,
            "loss": self.loss,
            "target_transform": self.target_transform,
            "seed": seed,
        }
        tree = {
            "name": self.study_name or f"{type(self).__name__}-{secrets.token_hex(4)}",
            "search_space": self.search_space,
            "data": {
                "source": "X",
                **names,
                "task": self._task(),
                **_given({"class_weight": self._class_weight()}),
                "split": {**self._validation(table.height), "test": 0, "seed": seed},
                "categorical": column_names(self.categorical, table.columns),
            },
            "objective": _given(
                {
                    "metric": self.metric or self._default_metric,
                    "quantile": self.quantile,
                    "k": self.k,
                    "calibrate": self.calibrate,
                    "threshold": self.threshold,
                }
            ),
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

    def _validation(self, n_rows: int) -> dict[str, float | int]:
        """The folds, or the share raised to two rows: R² is undefined on a single row."""
        if self.folds is not None:
            return {"folds": self.folds}
        is_raised = 0 < self.val < 1 and n_rows > 4
        return {"val": max(self.val, 2 / n_rows) if is_raised else self.val}

    def _places(self, stack: ExitStack) -> tuple[str, str]:
        """URLs of storage and artifact store; temporary ones are deleted with the stack."""
        if self.storage is not None:
            return self.storage, self.artifacts or "hpo-artifacts"
        if self.artifacts is not None:
            raise InputError("artifacts needs storage: without storage, the study is temporary")
        folder = stack.enter_context(TemporaryDirectory(prefix="hpo-"))
        return f"sqlite:///{folder}/hpo.db", f"{folder}/artifacts"

    def __getstate__(self) -> dict[str, Any]:
        """Pickle models as the bytes of their files; leave out the study."""
        state = {key: value for key, value in super().__getstate__().items() if key != "study_"}
        for key in ("model_", "ensemble_"):
            if state.get(key) is not None:
                state[key] = state[key].to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load models from the bytes of their files, which runs no code."""
        state = dict(state)
        for key in ("model_", "ensemble_"):
            if state.get(key) is not None:
                state[key] = read_model(state[key], "the pickled model")
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Declare what `X` may hold."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        return tags


def predicted(search: MLPSearch, X: Any) -> polars.DataFrame:
    """The predictions of a fitted estimator."""
    check_is_fitted(search, "model_")
    with _value_errors():
        table = as_table(X, 1)
        validate_data(search, X, reset=False, skip_check_array=True)
        table.columns = search._names
        return (search.ensemble_ or search.model_).predict(table)


@contextmanager
def _value_errors() -> Iterator[None]:
    """Raise errors in the input as ValueError, as scikit-learn does."""
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
