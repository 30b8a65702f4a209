"""What may have been meant otherwise is said, and what is beyond doubt is not."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from hpo.config.trial import DataConfig
from hpo.data.notes import reading_notes
from hpo.data.sources import RawTable
from hpo.data.table import typed_table

N = 60


def said(cells: Sequence[str], **keys: Any) -> list[str]:
    """The notes on a column of these cells, by turns."""
    x = [cells[row % len(cells)] for row in range(N)]
    frame = pl.DataFrame({"x": x, "y": ["no", "yes"] * (N // 2)})
    data = DataConfig(source="t.csv", target="y", **keys)
    return reading_notes(typed_table(RawTable(frame=frame, is_text=True, where="t"), data), data)


NEITHER = (
    'column "x": its texts begin with digits, such as "{}", but are not numbers or '
    "dates: read as categories"
)


@pytest.mark.parametrize(
    "cells",
    [
        [f"{index}.5 kg" for index in range(40)],
        [f"{index % 9 + 1:02}-{index % 12 + 1:02}-24" for index in range(N)],
        [f"{index}-{index + 5}" for index in range(0, N, 2)],
        [f"'{index}" for index in range(40)],
        [f"{index}-" for index in range(1, 40)],
        [f"{index}:99:00" for index in range(40)],
        [f"2024-W{index:02}" for index in range(1, 40)],
        [f"{index}/8" for index in range(13, 50)],
    ],
)
def test_quantities_and_dates_in_other_words(cells: list[str]) -> None:
    assert said(cells) == [NEITHER.format(cells[0])]
    assert said(cells, categorical=("x",)) == []


@pytest.mark.parametrize(
    "cells",
    [
        [f"A{index}" for index in range(40)],
        ["10-20", "20-30", "30+"],
        ["20240203", "20240299"],
        ["20", "60", "80", "99"],
        ["1900", "2100"],
        ["1800-01-01", "2024-02-03", "2024-02-04"],
    ],
)
def test_what_is_beyond_doubt(cells: list[str]) -> None:
    assert said(cells) == []


def test_days_in_whole_numbers() -> None:
    may_be = (
        'column "x": its integers, such as 20240203, may be dates: read as numbers; '
        "data.dates reads them as dates"
    )
    assert said(["20240203", "20231225"]) == [may_be]
    assert said(["20240203", "20231225"], numeric=("x",)) == []


@pytest.mark.parametrize(
    ("cells", "value", "rows", "what"),
    [
        (["1.5", "2.5", "-999"], "-999", "20 rows", "numbers"),
        (["1", "2", "99999", "4"], "99999", "15 rows", "numbers"),
        (["2024-02-03", "2024-02-04", "9999-12-31"], "9999-12-31", "20 rows", "dates"),
    ],
)
def test_what_stands_for_a_missing_value(
    cells: list[str], value: str, rows: str, what: str
) -> None:
    assert said(cells) == [
        f'column "x": {value} occurs in {rows}, far from all other {what}: if it means a '
        "missing value, leave the cell empty"
    ]


def of_columns(columns: dict[str, Sequence[Any]], **keys: Any) -> list[str]:
    frame = pl.DataFrame(columns)
    data = DataConfig(source="t.csv", target="y", **keys)
    return reading_notes(typed_table(RawTable(frame=frame, is_text=True, where="t"), data), data)


def test_a_last_row_of_sums() -> None:
    x = [f"{value}.25" for value in range(1, 41)]
    label = ["north", "south"] * 20 + ["Total"]
    columns = {"label": label, "x": [*x, "830.00"], "y": ["no", "yes"] * 20 + ["no"]}
    total = (
        'column "x": its last row, 41, holds the sum of all others: if that is a total, remove the '
        "row"
    )
    assert of_columns(columns) == [total]
    assert of_columns(columns, numeric=("x",)) == [total]
    assert of_columns(columns, drop=("x",)) == []
    assert of_columns({**columns, "x": [*x, "829.00"]}) == []
    assert of_columns({**columns, "x": ["0"] * 37 + ["1", "1", "0", "2"]}) == []


@pytest.mark.parametrize("cells", [["No", "Yes", "yes"], ["a  b", "a b", "c"]])
def test_categories_that_differ_in_capitals_or_spaces_alone(cells: list[str]) -> None:
    first, second = sorted(cells)[-2:] if "Yes" in cells else sorted(cells)[:2]
    alike = (
        f'column "{{}}": "{first}" and "{second}" differ in case or spaces alone, '
        "and are different categories"
    )
    assert said(cells) == said(cells, categorical=("x",)) == [alike.format("x")]
    assert said(cells, drop=("x",)) == []
    y = [*cells, *cells]
    assert of_columns({"x": ["1", "2", "4"] * 2, "y": y}) == [alike.format("y")]
