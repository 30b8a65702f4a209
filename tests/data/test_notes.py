"""What is said of a table: a sentence for each thing taken otherwise than expected."""

import polars as pl
import pytest

from hpo.config.trial import SplitConfig
from hpo.data.dataset import load_dataset
from hpo.data.notes import prediction_notes
from hpo.data.sources import as_frame
from hpo.data.table import Table
from tests.support.tables import csv, named, raw_csv, table

N = 60
X = [0.25 * (index * 7 % 61) for index in range(N)]
Y = [0.5 * index for index in range(N)]
LABELS = ["a", "b", "b"] * (N // 3)


def notes(columns: dict[str, object], **changes: object) -> list[str]:
    return list(
        load_dataset(table({"x": X, "y": Y, **columns}, **changes), named(**changes)).schema.notes
    )


def notes_on_cells(*cells: str, **changes: object) -> list[str]:
    """On a file with a column `c` of these cells, again and again."""
    rows = "".join(f"{cells[index % len(cells)]}|{X[index]}|{Y[index]}\n" for index in range(N))
    made = csv(f"c|x|y\n{rows}", **changes)
    return list(load_dataset(made, named(**changes)).schema.notes)


def test_an_ordinary_table_needs_no_words() -> None:
    assert notes({"c": ["u", "v", "w"] * 20, "at": pl.Series(range(N)).cast(pl.Date)}) == []


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (("1,5", "2,5"), 'numbers are read with "," as the decimal mark'),
        (("1 234", "5"), 'numbers are read with " " between thousands'),
        (
            ("1.234,5", "5"),
            'numbers are read with "," as the decimal mark and "." between thousands',
        ),
        (("12%", "7%"), "numbers are read with % as hundredths"),
        (("$12", "$7.50"), "numbers are read with the currency $"),
        (("13/02/2024", "01/02/2024"), "dates are read with the day first"),
        (("02/13/2024", "01/02/2024"), "dates are read with the month first"),
        (
            ("1", "x", "2.5"),
            '67% of its cells are numbers, but not "x": read as categories; '
            "data.numeric reads it as numbers",
        ),
        (
            ("12345678901234567890", "1"),
            "holds integers beyond 2^53, so it is read as text; data.numeric reads it as numbers",
        ),
    ],
)
def test_how_cells_are_read(cells: tuple[str, ...], note: str) -> None:
    assert notes_on_cells(*cells) == [f'column "c": {note}']
    assert notes_on_cells(*cells, drop=("c",)) == []


def test_columns_that_are_read_alike_share_a_sentence() -> None:
    names = [f"c{index}" for index in range(7)]
    rows = "".join(";".join([f"{index},5"] * 7 + [f"{Y[index]}"]) + "\n" for index in range(N))
    made = csv(";".join([*names, "y"]) + "\n" + rows)
    assert load_dataset(made, named()).schema.notes == (
        'columns "c0", "c1", "c2", "c3", "c4" and 2 more: numbers are read with "," as the decimal '
        "mark",
    )


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        ({5: "<0.5"}, '1 cell is not a number and counts as missing: "<0.5" in row 5'),
        (
            {5: "None", 7: "None"},
            '2 cells are not numbers and count as missing: "None" in 2 rows, first in row 5',
        ),
        (
            {1: "a", 2: "b", 3: "c"},
            '3 cells are not numbers and count as missing: "a" in row 1, "b" in row 2, '
            '"c" in row 3',
        ),
        (
            {1: "-", 2: ".", 3: "*", 4: "--"},
            '4 cells are not numbers and count as missing: "-" in row 1, "." in row 2, '
            '"*" in row 3 and 1 other word',
        ),
        (
            {1: "-", 2: ".", 3: "*", 4: "--", 5: "nil"},
            '5 cells are not numbers and count as missing: "-" in row 1, "." in row 2, '
            '"*" in row 3 and 2 other words',
        ),
    ],
)
def test_odd_cells(odd: dict[int, str], note: str) -> None:
    cells = [odd.get(row, f"{row}.5") for row in range(1, N + 1)]
    rows = "".join(f"{cell},{y}\n" for cell, y in zip(cells, Y, strict=True))
    assert load_dataset(csv(f"c,y\n{rows}"), named()).schema.notes == (f'column "c": {note}',)


def test_odd_dates() -> None:
    days = [f"2024-01-{1 + index % 31:02}" for index in range(N - 1)]
    assert notes({"c": [*days, "2024-02-30"]}) == [
        'column "c": 1 cell is not a date and counts as missing: "2024-02-30" in row 60'
    ]


def test_a_column_that_only_orders_the_rows() -> None:
    columns = {"day": pl.Series(range(N)).cast(pl.Date)}
    assert notes(columns, split=SplitConfig(time="day")) == [
        'column "day": orders the rows in data.split.time, and is no feature; '
        "data.dates or data.numeric makes it one"
    ]
    assert notes(columns, split=SplitConfig(time="day"), dates=("day",)) == []


def test_weights_of_rows_and_classes() -> None:
    columns = {"w": [0.5 * (index % 7) for index in range(N)], "y": LABELS}
    assert notes(columns, positive="a", weight="w", class_weight="balanced") == [
        'column "w": weighs the rows in the loss and in metrics',
        "data.class_weight weighs the classes in the loss: predicted probabilities lean toward the "
        "classes of greater weight",
    ]


def test_columns_that_are_left_out() -> None:
    ids = {f"id{letter}": [f"{letter}{index}" for index in range(N)] for letter in "ab"}
    assert notes(ids) == [
        'columns "ida", "idb": dropped, because each has a different text in every row, like an '
        "identifier; data.categorical keeps them"
    ]
    made = table({"Unnamed: 0": list(range(N)), "x": X, "y": Y})
    assert load_dataset(made, named()).schema.notes == (
        'column "Unnamed: 0": dropped, because it has no name and holds row numbers; '
        "data.numeric keeps it",
    )


def test_categories_beyond_the_most_frequent() -> None:
    made = notes({"c": ["u", "v", "w", "x"] * 15}, max_categories=2)
    assert len(made) == 1
    assert made[0].startswith('column "c": of 4 categories, the 2 most frequent are encoded, 5')
    assert made[0].endswith(
        "% of the training rows; the others count as unseen (data.max_categories)"
    )


def test_the_positive_class_unless_the_study_names_it() -> None:
    labels = ["churned"] * 6 + ["stayed"] * 54
    assert notes({"y": labels}) == [
        'the positive class is "churned", with 10.0% of the rows; data.positive names another'
    ]
    assert notes({"y": labels}, positive="stayed") == []
    assert notes({"y": ["u", "v", "w"] * 20}) == []


def test_classes_that_a_part_lacks() -> None:
    split = SplitConfig(column="split")
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    labels = ["u", "v", "w", "z"] * 10 + ["u"] * 10 + ["u", "v", "w", "z", "u"] * 2
    assert notes({"y": labels, "split": parts}, split=split) == [
        'the validation part has no row of "v", "w", "z": its metrics leave them out'
    ]


def test_rows_that_stand_in_two_parts() -> None:
    split = SplitConfig(column="split")
    parts = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    x = [*X[:40], *X[:3], *X[43:]]
    y = [*Y[:40], *Y[:3], *Y[43:]]
    columns = {"x": x, "y": y, "split": parts}
    assert notes(columns, split=split) == [
        "3 of the 10 validation rows also occur in the training part"
    ]
    columns |= {"x": [*X[:41], *X[41:]], "y": [*Y[:41], *Y[41:]]}
    columns["x"][40], columns["y"][40] = X[0], Y[0]
    assert notes(columns, split=split) == [
        "1 of the 10 validation rows also occur in the training part"
    ]


def test_a_column_whose_rows_share_a_label_wherever_it_repeats() -> None:
    people = [index // 4 for index in range(N)]
    labels = ["sick" if person % 3 else "well" for person in people]
    found = notes({"person": people, "y": labels}, positive="sick")
    assert found == [
        'column "person": rows with the same value always share their label, as rows of one person '
        "or place do: where that is so, data.split.groups keeps them in one part"
    ]
    visits = {"person": people, "visit": [index // 2 for index in range(N)], "y": labels}
    split = SplitConfig(groups="person")
    assert notes(visits, positive="sick", split=split) == [
        'column "person": keeps rows together in data.split.groups, and is no feature; '
        "data.categorical or data.numeric makes it one"
    ]
    assert notes(visits, positive="sick", split=split, numeric=("person",)) == []
    mixed = ["well", *labels[1:]] if labels[0] == "sick" else ["sick", *labels[1:]]
    assert notes({"person": people, "y": mixed}, positive="sick") == []


def test_tables_of_format_1_say_nothing() -> None:
    frame = pl.DataFrame(
        {"id": [f"a{index}" for index in range(N)], "x": X, "y": ["u"] * 59 + ["v"]}
    )
    split = SplitConfig(val=0.2, test=0.2)
    assert load_dataset(Table.of_format_1(frame), named(split=split)).schema.notes == ()


def test_what_rows_to_predict_hold() -> None:
    rows = "".join(f"{LABELS[index]},{X[index]},{index % 5}\n" for index in range(N))
    schema = load_dataset(csv(f"c,x,y\n{rows}"), named()).schema
    asked = raw_csv('c,x\na,1.5\nq,<0.5\nr,"-"\n?,\n').frame
    assert prediction_notes(schema, asked) == [
        'column "x": 2 cells are not numbers and count as missing: "<0.5" in row 2, "-" in row 3',
        'column "c": 2 of 4 cells hold categories that the model does not know, first "q" in row 2',
    ]
    assert prediction_notes(schema, as_frame({"c": ["a", None], "x": [1.5, None]})) == [
        'column "x": 1 cell is missing, where training had every value: '
        "the model uses the middle of the training values",
    ]
