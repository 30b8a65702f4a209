"""The dashboard: optuna-dashboard for the studies of a storage, behind a guard and a login.

Does not know: torch, workers, exports.
"""
