"""Typed tables: their kinds, their fingerprints, and how they are stored."""

import datetime
from pathlib import Path
from typing import Any

import pandas
import polars as pl
import pytest

from hpo.config.errors import DataError
from hpo.data.reader import Odd, is_usable
from hpo.data.sources import write_parquet
from hpo.data.table import Table
from tests.support.tables import cells, csv, table

CSV = "n,x,t,at,b\n1,0.5,a,2024-02-03,true\n2,,NA,2024-02-04 01:02,false\n,-3,bc,,\n"
TYPED = {
    "n": [1, 2, None],
    "x": [0.5, None, -3.0],
    "t": ["a", None, "bc"],
    "at": [datetime.datetime(2024, 2, 3), datetime.datetime(2024, 2, 4, 1, 2), None],
    "b": [True, False, None],
}


def test_a_typed_column_has_one_of_five_types() -> None:
    frame = csv(CSV).frame
    assert frame.dtypes == [pl.Int64, pl.Float64, pl.String, pl.Datetime("us"), pl.Float64]
    assert frame.to_dict(as_series=False) == {**TYPED, "b": [1, 0, None]}
    assert table(TYPED).frame.dtypes == [*frame.dtypes[:4], pl.Boolean]


def test_the_same_values_have_the_same_fingerprint_whatever_the_source() -> None:
    found = csv(CSV).fingerprint()
    assert len(found) == 64
    typed = pl.DataFrame(TYPED)
    at = pl.col("at")
    for given in (
        TYPED,
        typed,
        pandas.DataFrame(TYPED),
        typed.with_columns(pl.col("n").cast(pl.UInt8), pl.col("t").cast(pl.Categorical)),
        typed.with_columns(pl.col("n").cast(pl.Float64), pl.col("x").fill_null(float("nan"))),
        typed.with_columns(at.cast(pl.Datetime("ns"))),
        typed.with_columns(at.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")),
        {**TYPED, "t": pandas.Series(TYPED["t"], dtype="category")},
    ):
        assert table(given).fingerprint() == found
    assert csv(CSV.replace(",", ";").replace("0.5", " 0.50 ")).fingerprint() == found


@pytest.mark.parametrize(
    "change",
    [
        {"n": [1, 2, 0]},
        {"n": [2, 1, None]},
        {"t": ["ab", None, "c"]},
        {"t": ["a", "", "bc"], "n": [1, 2, 3]},
        {"at": [0, 1, 2]},
        {"b": ["true", "false", "other"]},
        {"m": [1, 2, None]},
    ],
)
def test_other_values_have_another_fingerprint(change: dict[str, Any]) -> None:
    assert table({**TYPED, **change}).fingerprint() != table(TYPED).fingerprint()


def test_the_order_of_columns_is_part_of_the_fingerprint() -> None:
    turned = dict(reversed(TYPED.items()))
    assert table(turned).fingerprint() != table(TYPED).fingerprint()


def test_how_later_cells_are_read_is_part_of_the_fingerprint() -> None:
    point, comma = cells("1.5", "2.5"), cells("1,5", "2,5")
    assert point.frame.equals(comma.frame)
    assert point.fingerprint() != comma.fingerprint()


def test_the_fingerprint_does_not_change_between_versions() -> None:
    """That of format 1 is in stored studies; readers add nothing to it."""
    frame = pl.DataFrame({"n": [1, None], "x": [0.5, -3e300], "t": ["ä", None]})
    expected = "b20f8b2a4f779df7b9c0cdd53072d5860463bd7950aaf5f86ed6fe407d864b50"
    assert Table.of_format_1(frame).fingerprint() == expected
    assert csv(CSV).fingerprint()[:16] == "e19b91850ed7a90b"
    assert csv("p;at\n1.234,5 %;13/02/2024\n").fingerprint()[:16] == "9b7283e8b0ff72d1"


def test_a_stored_table_comes_back_with_its_readers(tmp_path: Path) -> None:
    text = "p,at,c,y\n" + '"1.234,5",13/02/2024,01,0\n' * 20 + "<0.5,14/02/2024,02,1\n"
    made = csv(text, missing=("-",))
    assert made.readers["p"].odd == (Odd(word="<0.5", row=21, count=1),)
    made.write(tmp_path / "t.parquet")
    again = Table.read(tmp_path / "t.parquet")
    assert again.frame.equals(made.frame)
    assert again.readers == made.readers
    assert again.missing == ("", "-")
    assert again.fingerprint() == made.fingerprint()


def test_a_file_without_readers_is_of_format_1(tmp_path: Path) -> None:
    frame = pl.DataFrame({"n": [1, None], "t": ["01", None], "l": [[1], [2]]})
    write_parquet(frame, tmp_path / "t.parquet")
    found = Table.read(tmp_path / "t.parquet")
    assert found.format == 1
    assert {name: reader.kind for name, reader in found.readers.items()} == {
        "n": "number",
        "t": "category",
    }
    assert all(reader.legacy for reader in found.readers.values())
    found.write(tmp_path / "again.parquet")
    again = Table.read(tmp_path / "again.parquet")
    assert (again.format, again.fingerprint()) == (1, found.fingerprint())


def test_what_a_stored_table_says_of_itself_is_checked(tmp_path: Path) -> None:
    write_parquet(pl.DataFrame({"n": [1]}), tmp_path / "t.parquet", {"hpo": '{"format": "x"}'})
    with pytest.raises(DataError, match=r"t\.parquet: .*format"):
        Table.read(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"t\.parquet: cannot be parsed"):
        Table.read(tmp_path / "t.parquet")


def test_of_lists_and_the_like_the_kind_is_kept(tmp_path: Path) -> None:
    lists = {"tags": [[1], [2]], "pair": [{"a": 1}, None], "raw": [b"1", b"2"]}
    made = table(pl.DataFrame({"n": [1, 2], **lists}))
    assert [column.name for column in made.frame if is_usable(column)] == ["n"]
    assert set(made.readers) == {"n"}
    assert str(made.frame["tags"].dtype) == "List(Int64)"
    made.write(tmp_path / "t.parquet")
    again = Table.read(tmp_path / "t.parquet")
    fewer = table(pl.DataFrame({"n": [1, 2], **lists}).drop("raw"))
    assert again.fingerprint() == made.fingerprint() != fewer.fingerprint()


def test_a_nameless_column_stays_nameless(tmp_path: Path) -> None:
    made = csv(",column_0\n1,2\n")
    assert made.frame.columns == ["", "column_0"]
    made.write(tmp_path / "t.parquet")
    assert Table.read(tmp_path / "t.parquet").frame.columns == ["", "column_0"]


def test_infinite_numbers_are_refused_unless_they_are_dropped_or_missing() -> None:
    with pytest.raises(DataError) as raised:
        cells("1.5", "inf")
    assert str(raised.value) == (
        't.csv: column "x" must hold finite numbers up to 3.4e38, but row 2 holds inf; '
        "name it in data.missing to count it as missing"
    )
    with pytest.raises(DataError, match=r"up to 3\.4e38, but row 1 holds 1e\+?39$"):
        table({"x": [1e39]})
    assert cells("1.5", "inf", missing=("inf",)).frame["x"].to_list() == [1.5, None]
    assert cells("1.5", "inf", drop=("x",)).frame["x"].to_list() == [1.5, float("inf")]


def test_many_odd_cells_are_remembered_by_frequency() -> None:
    odd = [f"odd {chr(97 + index)}" for index in range(25)] + ["odd h"]
    found = cells(*["1.5"] * 1000, *odd).readers["x"].odd
    assert found[0] == Odd(word="odd h", row=1008, count=2)
    assert [each.word for each in found[1:4]] == ["odd a", "odd b", "odd c"]
    assert len(found) == 20
