"""Pure values: trials, search spaces, study definitions, and the errors that name what is wrong.

Needs the standard library and pydantic alone. Does not know: torch, Optuna, polars, SQL.
"""
