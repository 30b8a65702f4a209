"""All SQL: Optuna's tables, and hpo's own tables beside them.

To open: `engine`, with `dialects`, `failures`, `schema`, `upgrade` and `server`.
To write, in transactions: `ledger` (states of trials), `leases`, `attributes`, `interventions` (by
hand), `copying` and `removal` of studies, with `rows` for statements of many rows.
To read: `progress`, `best`, `inventory`, `trials` and, where that fails, `damage`; for Optuna,
`reader` (with `snapshot`) and `cached_storage`.

Does not know: torch, polars, files, what a study's attributes mean.
"""
