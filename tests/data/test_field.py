"""Tables of the kinds that people report trouble with, from their cells to tensors."""

import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LinearRegression

from hpo.config.errors import DataError
from hpo.config.trial import PreprocessingConfig
from hpo.data.dataset import Dataset, load_dataset
from hpo.data.preprocessing import Preprocessor
from hpo.data.sources import as_frame
from hpo.models.onnx import input_names
from tests.support.tables import csv, named, raw_csv, table

N = 120


def loaded(text: str, **changes: Any) -> Dataset:
    """A CSV file, ready to train on."""
    return load_dataset(csv(text, **changes), named(**changes))


def features(dataset: Dataset, rows: Any) -> torch.Tensor:
    """What a network is given of rows in any form."""
    train = dataset.part("train")
    fitted = Preprocessor.fit(
        dataset.schema, train.x_num, train.x_cat, PreprocessingConfig(numeric="standard")
    )
    return fitted(*dataset.schema.encode(as_frame(rows)))


def test_a_large_target_keeps_its_digits() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, N))
    y = 1.7e9 + 900 * a + 5 * b
    assert len(np.unique(y.astype("f4"))) < 60
    rows = zip(a.tolist(), b.tolist(), y.tolist(), strict=True)
    dataset = loaded("a,b,y\n" + "".join(f"{a!r},{b!r},{y!r}\n" for a, b, y in rows))
    assert dataset.y.tolist() == y.tolist()
    assert dataset.schema.double == ("y",)
    x = features(dataset, {"a": a, "b": b}).numpy()
    assert LinearRegression().fit(x, y - y.mean()).score(x, y - y.mean()) > 0.999999


def test_large_features_keep_their_digits() -> None:
    at = [1_700_000_000_000_000_000 + 1_000_000_000 * row for row in range(N)]  # nanoseconds
    dataset = loaded(
        "at,y\n" + "".join(f"{at[row]},{row}.5\n" for row in range(N)), numeric=("at",)
    )
    assert dataset.schema.double == ("at",)
    assert features(dataset, {"at": at}).unique().numel() == N


CODES = ("1.10", "1.20", "2.00", "2.5b", "1E5", "7")


def test_codes_mean_the_same_in_one_row() -> None:
    text = "".join(f"{CODES[row % 6]},{row % 6}.5\n" for row in range(N))
    dataset = loaded(f"code,y\n{text}")
    assert dataset.schema.categorical[0].values == tuple(sorted(CODES))
    batch = features(dataset, {"code": list(CODES)})
    assert batch.unique(dim=0).shape[0] == len(CODES)
    for row, code in enumerate(CODES):
        alone = [raw_csv(f"code\n{code}\n").frame, {"code": [code]}, pl.DataFrame({"code": [code]})]
        for rows in alone:
            assert features(dataset, rows).equal(batch[row : row + 1])
    assert features(dataset, {"code": [1.1]}).equal(batch[:1])
    assert features(dataset, {"code": [7]}).equal(batch[5:])


def test_a_day_is_the_same_from_every_file_and_later_ones_go_on() -> None:
    days = [datetime.datetime(2024, 1, 1) + datetime.timedelta(days=row) for row in range(N)]
    dataset = load_dataset(table({"at": days, "y": [0.5 * row for row in range(N)]}), named())
    given = days[:5]
    expected = features(dataset, {"at": given})
    spellings = [
        np.array(given, dtype="datetime64[ns]"),
        np.array(given, dtype="datetime64[s]"),
        [day.date() for day in given],
        [str(day) for day in given],
        [str(day.date()) for day in given],
        [f"{day:%Y-%m-%dT%H:%M:%S.000000}" for day in given],
    ]
    for values in spellings:
        assert features(dataset, {"at": values}).equal(expected)
    later = features(dataset, {"at": [days[0] + datetime.timedelta(days=n) for n in (0, 400, 800)]})
    steps = later[:, 0].diff().tolist()
    assert steps[0] > 0
    assert steps[0] == pytest.approx(steps[1], rel=1e-5)


def test_accounts_of_twenty_digits_are_told_apart() -> None:
    accounts = [str(98_765_432_109_876_543_210 + row % 40) for row in range(N)]
    text = "account,y\n" + "".join(f"{accounts[row]},{row % 40}.5\n" for row in range(N))
    for changes in ({"categorical": ("account",)}, {}):
        dataset = loaded(text, **changes)
        known = dataset.schema.categorical[0].values
        assert known == tuple(sorted({accounts[row] for row in dataset.rows("train").tolist()}))
        codes = dataset.schema.encode(as_frame({"account": known})).x_cat
        assert codes[:, 0].tolist() == list(range(len(known)))


@pytest.mark.parametrize("word", ["None", "<0.5", "n/a", "-"])
def test_an_odd_cell_leaves_a_column_numbers(word: str) -> None:
    cells = [word if row == 7 else f"{row % 17}.25" for row in range(N)]
    text = "a,y\n" + "".join(f"{cell},{row}.5\n" for row, cell in enumerate(cells))
    dataset = loaded(text)
    assert dataset.schema.numeric == ("a",)
    assert dataset.x_num[:, 0].isnan().nonzero().tolist() == [[7]]
    assert dataset.schema.notes == (
        f'column "a": 1 cell is not a number and counts as missing: "{word}" in row 8',
    )
    typed = load_dataset(table({"a": cells, "y": [row + 0.5 for row in range(N)]}), named())
    assert typed.x_num.nan_to_num(-1).equal(dataset.x_num.nan_to_num(-1))


def test_a_cell_with_thousands_leaves_a_column_numbers() -> None:
    cells = ["1,234.5" if row == 7 else f"{row % 17}.25" for row in range(N)]
    text = "a|y\n" + "".join(f"{cell}|{row}.5\n" for row, cell in enumerate(cells))
    assert loaded(text).x_num[7].tolist() == [1234.5]


def test_the_rare_class_is_the_positive_one() -> None:
    labels = ["churned" if row % 16 == 0 else "stayed" for row in range(N)]
    text = "a,y\n" + "".join(f"{row}.5,{label}\n" for row, label in enumerate(labels))
    dataset = loaded(text)
    assert dataset.schema.positive == "churned"
    assert dataset.y.tolist() == [label == "churned" for label in labels]
    assert 'the positive class is "churned", with 6.7% of the rows' in dataset.schema.notes[0]
    named_one = loaded(text, positive="stayed")
    assert (named_one.schema.positive, named_one.schema.notes) == ("stayed", ())


def test_decimal_commas_semicolons_percent_and_money_are_numbers() -> None:
    rows = "".join(f"{row},5;{row % 9},3%;${row % 7}.30;{row},25\n" for row in range(N))
    dataset = loaded(f"a;share;price;y\n{rows}")
    assert dataset.schema.numeric == ("a", "share", "price")
    assert dataset.x_num[10].tolist() == [10.5, float(np.float32(0.013)), float(np.float32(3.3))]
    assert dataset.y[10] == 10.25
    tabs = loaded(f"a;share;price;y\n{rows}".replace(";", "\t"))
    assert tabs.x_num.equal(dataset.x_num)
    typed = {"a": [10.5], "share": [0.013], "price": [3.3]}
    assert dataset.schema.encode(as_frame(typed)).x_num.equal(dataset.x_num[10:11])


def test_whole_labels_come_back_as_whole_numbers() -> None:
    rows = "".join(f"{row % 7}.5,{(10, 20, 300)[row % 3]}\n" for row in range(N))
    schema = loaded(f"a,y\n{rows}").schema
    assert schema.classes == ("10", "20", "300")
    assert schema.label_values().to_list() == [10, 20, 300]
    assert schema.label_values().dtype == pl.Int64


def test_a_class_may_be_called_na() -> None:
    rows = "".join(f"{row % 7}.5,{('NA', 'EU', 'AS')[row % 3]}\n" for row in range(N))
    with pytest.raises(DataError, match=r'first in row 1, which holds "NA": .*data\.missing'):
        loaded(f"a,y\n{rows}")
    assert loaded(f"a,y\n{rows}", missing=()).schema.classes == ("AS", "EU", "NA")
    regions = ["NA", "EU", "AS"] * (N // 3)
    typed = table({"a": [row % 7 + 0.5 for row in range(N)], "y": regions})
    assert load_dataset(typed, named()).schema.classes == ("AS", "EU", "NA")


def test_a_feature_may_be_called_as_an_output() -> None:
    rows = "".join(f"{row % 7}.5,{row % 5}.5,{row}.5\n" for row in range(N))
    schema = loaded(f"prediction,probabilities,y\n{rows}").schema
    assert schema.columns == ("prediction", "probabilities")
    names = input_names(schema)
    assert list(names) == list(schema.columns)
    assert not {*names.values()} & {"prediction", "probabilities"}
