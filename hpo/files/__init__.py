"""Files: atomic writes, downloads from URLs, a local cache, and the artifact store.

Does not know: SQL, Optuna, torch, polars.
"""
