"""Trained models with their preprocessing, as files and in memory.

A file holds one model or an ensemble; both are predictors. Nothing in it can run code.

Does not know: studies, SQL, workers.
"""
