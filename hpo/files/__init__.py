"""Files: written whole or not at all, fetched from URLs, cached, kept in the artifact store.

Does not know: SQL, Optuna, torch, polars.
"""
