"""Values that files and rows are made of: trials, search spaces, definitions, errors.

Needs the standard library and pydantic alone. Does not know: torch, Optuna, tables, SQL.
"""
