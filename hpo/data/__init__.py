"""Tables in, tensors out: reads cells, decides kinds, splits rows, encodes and scales them.

Does not know: SQL, Optuna, networks.
"""
