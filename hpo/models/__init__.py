"""Trained models with their preprocessing, as they are taken home.

A file holds one model or an ensemble of them; both are predictors. Nothing in it can run code.

Does not know: studies, SQL, workers.
"""
