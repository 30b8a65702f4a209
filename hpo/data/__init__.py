"""Tables in, tensors out: reads cells, infers the schema, splits rows, encodes and scales them.

Does not know: SQL, Optuna, networks.
"""
