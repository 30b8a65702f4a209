"""Estimators in scikit-learn's terms: `fit` searches, and what predicts is the winner.

A fit is a study like any other. Without `storage` it lives in a temporary folder and leaves nothing
behind. All rows that it is given train or validate: who uses scikit-learn keeps test rows apart.

Does not know: how a search is carried out, how tables are encoded.
"""

from hpo.sklearn.estimators import MLPSearchClassifier, MLPSearchRegressor

__all__ = ["MLPSearchClassifier", "MLPSearchRegressor"]
