"""Trained models with their preprocessing: one file that predicts on raw rows.

A file holds one model or an ensemble of them; both are predictors. Nothing in it can run code.

Does not know: studies, stores, splits.
"""

from hpo.bundle.ensemble import Ensemble, Member
from hpo.bundle.loading import load_model
from hpo.bundle.model import Model, Predictor, n_outputs

__all__ = ["Ensemble", "Member", "Model", "Predictor", "load_model", "n_outputs"]
