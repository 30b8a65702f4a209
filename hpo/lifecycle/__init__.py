"""A study together with its files: drafted, created, confirmed, copied, removed.

Does not know: workers, Optuna.
"""
