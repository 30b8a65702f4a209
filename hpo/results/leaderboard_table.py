"""The leaderboard as a table."""

import polars

from hpo.study.leaderboard import Row


def to_table(rows: list[Row]) -> polars.DataFrame:
    """Rows with a column each for the value, the metrics and the params.

    Where trials were confirmed, their means and intervals have columns as well.
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
    found = row.confirmed
    return {
        "confirmed": None if found is None else found.mean,
        "confirmed_low": None if found is None else found.low,
        "confirmed_high": None if found is None else found.high,
    }
