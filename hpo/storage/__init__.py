"""SQL: Optuna's tables and our own beside them, read through Optuna, written in transactions."""
