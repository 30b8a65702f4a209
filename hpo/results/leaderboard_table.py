"""The leaderboard as a polars DataFrame."""

import polars

from hpo.study.leaderboard import Row


def to_table(rows: list[Row]) -> polars.DataFrame:
    """Make a table of leaderboard rows, with one column for each metric and param.

    If any trial was confirmed, three more columns hold the mean over seeds and its interval.
    """
    is_confirmed = any(row.confirmed for row in rows)
    return polars.DataFrame(
        [
            {
                "rank": rank,
                "number": row.number,
                "state": row.state,
                "value": row.value,
                **(_interval(row) if is_confirmed else {}),
                **row.metrics,
                **row.params,
            }
            for rank, row in enumerate(rows, start=1)
        ],
        infer_schema_length=None,
        strict=False,
    )


def _interval(row: Row) -> dict[str, float | None]:
    fields = {"confirmed": "mean", "confirmed_low": "low", "confirmed_high": "high"}
    return {key: getattr(row.confirmed, field, None) for key, field in fields.items()}
