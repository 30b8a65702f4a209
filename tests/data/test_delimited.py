"""Text files as people have them: separators, byte order marks, quotes."""

import polars as pl
import pytest

from hpo.config.errors import DataError
from hpo.data.delimited import parse


def read(text: str | bytes, separator: str | None = None, usual: str = ",") -> pl.DataFrame:
    content = text.encode() if isinstance(text, str) else text
    return parse(content, "t.csv", separator, usual)[0]


TABLE = {"a": ["1", "3"], "b": ["x", None], "c": ["2.5", "4"]}


@pytest.mark.parametrize("usual", [",", "\t"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(separator: str, usual: str) -> None:
    rows = [["a", "b", "c"], ["1", "x", "2.5"], ["3", "", "4"]]
    text = "\n".join(separator.join(row) for row in rows)
    assert read(text, usual=usual).to_dict(as_series=False) == TABLE
    assert read(text.replace("\n", "\r\n"), usual=usual).to_dict(as_series=False) == TABLE


@pytest.mark.parametrize(
    ("text", "columns", "first"),
    [
        ("a;b\n1,5;2,5\n1,5;2,5\n", ["a", "b"], ("1,5", "2,5")),  # as many commas as rows say
        ("a\tb\n1,5\t2,5\n", ["a", "b"], ("1,5", "2,5")),
        ("a;b;c\n1,5;2,5;3,5\n", ["a", "b", "c"], ("1,5", "2,5", "3,5")),
        ("x,note\n1,a;b\n2,c;d\n", ["x", "note"], ("1", "a;b")),
        ('a,b\n"x;y;z",1\n"x;y;z",2\n', ["a", "b"], ("x;y;z", "1")),
        ('"a;1";"b;2"\n"x,y";"1"\n', ["a;1", "b;2"], ("x,y", "1")),
        ('"a, b";c\n1,5;2\n', ["a, b", "c"], ("1,5", "2")),
        ("a, b;c\n1;2\n", ["a, b", "c"], ("1", "2")),
        ("a,b\n", ["a", "b"], None),
        ("a;b\n", ["a", "b"], None),
        ("a\n1\n", ["a"], ("1",)),
        ("a\n1;5\n", ["a"], ("1;5",)),
        ("a b\n1 5\n", ["a b"], ("1 5",)),
        ("a;b\n1;2\n\n3\n", ["a", "b"], ("1", "2")),
    ],
)
def test_what_else_looks_like_a_separator(
    text: str, columns: list[str], first: tuple[str, ...] | None
) -> None:
    frame = read(text)
    assert frame.columns == columns
    assert (frame.row(0) if len(frame) else None) == first


def test_the_study_says_which_separator() -> None:
    assert read("a;b,c\n1;2,3\n", ";").to_dict(as_series=False) == {"a": ["1"], "b,c": ["2,3"]}
    assert read("a;b,c\n1;2,3\n", ",").to_dict(as_series=False) == {"a;b": ["1;2"], "c": ["3"]}


@pytest.mark.parametrize("note", ["sep=;", '"sep=;"', "sep=;\r\n"])
def test_a_first_line_of_a_spreadsheet_names_the_separator(note: str) -> None:
    assert read(f"{note}\r\na;b\r\n1,2;3,4\r\n").to_dict(as_series=False) == {
        "a": ["1,2"],
        "b": ["3,4"],
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_part_of_the_first_name(encoding: str) -> None:
    assert read("größe\tb\n1\t2\n".encode(encoding)).columns == ["größe", "b"]
    big_endian = b"\xfe\xff" + "a,b\n1,2\n".encode("utf-16-be")
    assert read(big_endian).columns == ["a", "b"]


def test_quotes_hide_separators_and_ends_of_lines() -> None:
    frame = read('a,b\n"x,\n""y""",2\n,3\n')
    assert frame.to_dict(as_series=False) == {"a": ['x,\n"y"', None], "b": ["2", "3"]}


def test_every_cell_is_text_whatever_comes_far_below() -> None:
    text = "a,b\n" + "1,2\n" * 5000 + "x,2\n"
    assert read(text)["a"].value_counts().sort("a").rows() == [("1", 5000), ("x", 1)]


def test_a_row_that_is_too_long_is_named() -> None:
    header = 'but the header, "a" and so on, has 2$'
    with pytest.raises(DataError, match=rf"^t\.csv: line 3 has 3 cells, {header}"):
        read("a,b\n1,2\n1,2,3\n")
    with pytest.raises(DataError, match=r'line 2 has 2 cells, but the header, "# lab 3", has 1$'):
        read("# lab 3\na,b\n1,2\n")


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match=r'^t\.csv: has two columns named "a"$'):
        read("a,b,a\n1,2,3\n")
    with pytest.raises(DataError, match=r"^t\.csv: has two columns without a name: is its"):
        read("Person,,Result,\nage,sex,score,grade\n1,2,3,4\n")


def test_quotes_that_begin_no_cell_are_part_of_it() -> None:
    pipes = {"a": ['5" pipe', '6" pipe, long', "7"], "b": ["1", "2", None]}
    assert read('a,b\n5" pipe,1\n"6"" pipe, long",2\n7\n').to_dict(as_series=False) == pipes
    assert read('a,b\n5" pipe,1\n').to_dict(as_series=False) == {"a": ['5" pipe'], "b": ["1"]}
    assert read('in",b\n5,1\n').to_dict(as_series=False) == {'in"': ["5"], "b": ["1"]}


@pytest.mark.parametrize(
    ("text", "line"), [('a,b\n1,"2\n3,4\n', 3), ('a,b\n"x" ,1\n', 2), ('a,b\n"x"y,1\n', 2)]
)
def test_quotes_that_end_nowhere_are_refused(text: str, line: int) -> None:
    with pytest.raises(DataError, match=rf"^t\.csv: line {line} cannot be parsed, perhaps for its"):
        read(text)


def test_rows_shorter_than_the_header_are_noted() -> None:
    frame, notes = parse(b'a,b,c\n1,2,3\n4,5\n6,7,\n8\n"9,9",9,9\n', "t.csv", None, ",")
    assert frame["c"].to_list() == ["3", None, None, None, "9"]
    assert notes == (
        "2 rows are shorter than the header, first row 2: the absent cells count as missing",
    )
    assert parse(b"a,b\n1,\n2,3\n", "t.csv", None, ",")[1] == ()
    assert parse(b"a,b\n1,2\n\n3,4\n\n", "t.csv", None, ",")[1] == (
        "1 row is shorter than the header, row 2: the absent cells count as missing",
    )
    assert parse(b'a,b\n5" pipe,1\n7\n', "t.csv", None, ",")[1] == (
        "1 row is shorter than the header, row 2: the absent cells count as missing",
    )


def test_rows_that_repeat_the_header_are_noted() -> None:
    def notes(text: str) -> tuple[str, ...]:
        return parse(text.encode(), "t.csv", None, ",")[1]

    assert notes("a,b\nx,y\na,b\na,y\n") == ("row 2 repeats the header: remove it",)
    twice = "2 rows repeat the header, first row 1: remove them"
    assert notes("a,b\na,b\nx,y\na,b\n") == (twice,)
    assert notes("a,b\na,y\nx,b\n") == notes("a\na\nb\n") == ()
