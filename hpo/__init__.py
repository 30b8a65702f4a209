"""Hyperparameter search for PyTorch MLPs on tables."""

__version__ = "0.1.0"
