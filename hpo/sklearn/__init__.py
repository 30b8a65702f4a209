"""Scikit-learn estimators: `fit` searches, and the best model or ensemble predicts.

Each fit is a study. Without `storage`, the study is in a temporary folder, which is deleted at the
end. All rows given to `fit` are used for training or validation; scikit-learn users hold out test
rows themselves.

Does not know: how a search runs, how tables are encoded.
"""

from hpo.sklearn.estimators import MLPSearchClassifier, MLPSearchRegressor

__all__ = ["MLPSearchClassifier", "MLPSearchRegressor"]
