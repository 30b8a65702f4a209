"""All SQL: Optuna's tables and our own beside them, read through Optuna, written in transactions.

Does not know: torch, polars, files.
"""
