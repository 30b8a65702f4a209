"""Operations on a study and its artifacts: draft, create, confirm, copy, delete.

Does not know: workers, Optuna.
"""
