"""Pure values: trial configurations, search spaces, study definitions, and the errors of hpo.

Needs only the standard library and pydantic. Does not know: torch, Optuna, polars, SQL.
"""
