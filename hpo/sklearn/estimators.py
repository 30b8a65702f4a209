"""The estimators for labels and for numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from hpo.config.errors import InputError
from hpo.config.trial import Task
from hpo.data.target import text_of
from hpo.sklearn.base import MLPSearch, predicted
from hpo.sklearn.rows import Array, label_texts


class MLPSearchClassifier(ClassifierMixin, MLPSearch):  # type: ignore[misc]
    """MLP classifier with hyperparameter search.

    Args:
        n_trials: number of trials; the first is the search space's default configuration.
        timeout: time limit of the search: seconds, or a text such as "30m".
        search_space: name of a search space of hpo, path of a TOML file, or its content as a dict.
        metric: validation metric that ranks trials, such as accuracy, f1, roc_auc or log_loss. None
            means accuracy.
        quantile: of the regressor's metric pinball and loss quantile.
        k: of the metric top_k_accuracy.
        loss: such as focal. None: as in the search space, or that of the task and metric.
        target_transform: log1p lets the regressor learn the logarithm of 1 + y; predictions are of
            y. None: as in the search space, or none.
        calibrate: "temperature" fits a temperature to the probabilities on the validation rows.
        threshold: "tuned" fits the decision threshold of two classes to the metric on the
            validation rows; `predict` follows it. For metrics of the predicted labels.
        val: fraction of the rows used for validation, at least two rows; the others are used for
            training.
        folds: number of folds. Each trial then trains a network for each fold on the rows of the
            others, and counts by its predictions on all rows. Replaces `val`.
        class_weight: weights of the labels in the loss: "balanced", or a dict in which missing
            labels have the weight 1.
        categorical: numeric columns to treat as categories, by name or index. Text columns always
            are categories.
        max_epochs: maximum epochs of each trial. None: as in the search space, or 200.
        patience: stop a trial after this many epochs without a better validation metric. None: as
            in the search space, or 16.
        batch_size: None: as in the search space, or 32 to 1024 by the number of rows.
        refit: train the best trial's configuration again on all rows, including the validation
            rows, for as many epochs as the trial needed. `best_score_` and `leaderboard_` remain
            those of the search.
        workers: 1 searches in this process, with one thread. More start worker processes, which
            share the GPUs if there are any; then a search is not exactly reproducible.
        device: "auto" (a GPU if there is one), "cpu", "cuda", or an index such as "cuda:1".
        random_state: seed of the whole search: an int, a RandomState, or None for a new seed in
            each fit.
        storage: URL of the database that stores the study, such as "sqlite:///hpo.db". None: a
            temporary database. A password in the URL is visible where the estimator is printed or
            pickled.
        artifacts: URL of the artifact store of a stored study. None: "hpo-artifacts".
        study_name: name of the study. None: a new name in each fit. A stored study of this name
            with the same rows and parameters is continued.
        ensemble: maximum number of models of an ensemble. It predicts unless the best trial's
            model is better on the validation rows in both the metric and the loss. 0: the best
            trial's model predicts, as with `refit`.

    Attributes:
        model_: the best trial's model, as `hpo.load_model` returns it; predicts on DataFrames. With
            `refit`, the refitted one.
        ensemble_: the ensemble that predicts, likewise; None if `model_` predicts.
        best_params_: params of the best trial.
        best_score_: validation metric of the best trial.
        leaderboard_: the COMPLETE trials, best first, as a polars DataFrame.
        study_: the search as an Optuna study in memory; not pickled.
        classes_: the labels.
        notes_: sentences on how hpo read the data where you might not expect it.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns, if all are strings.
    """

    _default_metric = "accuracy"

    def predict(self, X: Any) -> Array:
        """Predict the label of each row, the likeliest or by the threshold; returns (rows,)."""
        found = text_of(predicted(self, X)["prediction"])
        places = {text: place for place, text in enumerate(label_texts(self.classes_))}
        labels: Array = self.classes_[[places[text] for text in found]]
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Predict (rows, classes) probabilities, in the order of `classes_`."""
        found = predicted(self, X)
        columns = found.select(f"probability_{text}" for text in label_texts(self.classes_))
        return columns.to_numpy().astype(np.float64)

    def _check_target(self, y: Any) -> Array:
        checked = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        target: Array = column_or_1d(checked, warn=True)
        if target.dtype == object and None in target.tolist():
            raise InputError("y must hold a label in every row, but some are None")
        check_classification_targets(target)
        self.classes_ = np.unique(target)
        label_texts(self.classes_)  # rejects labels that the model could not tell apart
        return target

    def _class_weight(self) -> Any:
        if not isinstance(self.class_weight, Mapping):
            return self.class_weight
        labels = self.classes_.tolist()
        if unknown := [label for label in self.class_weight if label not in labels]:
            raise InputError(f"class_weight must name labels of y, but got {unknown[0]!r}")
        texts = label_texts(self.classes_)
        return {
            text: float(self.class_weight.get(label, 1))
            for label, text in zip(labels, texts, strict=True)
        }

    def _task(self) -> Task:
        return "binary" if len(self.classes_) == 2 else "multiclass"


class MLPSearchRegressor(RegressorMixin, MLPSearch):  # type: ignore[misc]
    """MLP regressor with hyperparameter search.

    Parameters and attributes are those of `MLPSearchClassifier`, without `classes_` and
    `class_weight`. `metric` is r2, rmse or mae; None means r2.
    """

    _default_metric = "r2"

    def predict(self, X: Any) -> Array:
        """Predict (rows,) numbers."""
        return predicted(self, X)["prediction"].to_numpy().astype(np.float64)

    def _check_target(self, y: Any) -> Array:
        checked = check_array(y, ensure_2d=False, input_name="y")
        target: Array = column_or_1d(checked, warn=True)
        return target

    def _task(self) -> Task:
        return "regression"
