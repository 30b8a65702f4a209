import math
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from hpo.config.errors import DefinitionError
from hpo.config.parsing import Duration, dotted, format_value, parse_duration, read_toml, validate


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    n: Annotated[int, Field(ge=1, lt=10)] = 1
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.5
    on: bool = False
    kind: Literal["adam", "sgd"] | Literal["auto"] = "auto"
    names: tuple[str, ...] = ()
    some: Annotated[list[int], Field(min_length=1)] = [1]
    either: str | dict[str, int] = ""
    limit: Duration | None = None


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner
    other: list[Inner] = []


def refused(tree: object) -> str:
    with pytest.raises(DefinitionError) as caught:
        validate(Outer, tree, "f.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("n", 0, "must be at least 1, but got 0"),
        ("n", 10, "must be below 10, but got 10"),
        ("n", "3", 'must be a whole number, but got "3"'),
        ("n", 3.0, "must be a whole number, but got 3.0"),
        ("n", True, "must be a whole number, but got true"),
        ("n", [], "must be a whole number, but got []"),
        ("share", 0, "must be above 0, but got 0"),
        ("share", 1.5, "must be at most 1, but got 1.5"),
        ("share", math.nan, "must be a finite number, but got NaN"),
        ("share", math.inf, "must be a finite number, but got Infinity"),
        ("share", True, "must be a number, but got true"),
        ("on", 1, "must be true or false, but got 1"),
        ("on", "yes", 'must be true or false, but got "yes"'),
        (
            "kind",
            "sdg",
            'must be "adam", "sgd" or "auto", but got "sdg" (did you mean "sgd"?)',
        ),
        ("kind", 3, 'must be "adam", "sgd" or "auto", but got 3'),
        ("names", "a", 'must be an array, but got "a"'),
        ("some", [], "must be an array with at least one value, but got []"),
        ("either", 3, "must be a string or a table, but got 3"),
        ("limit", "soon", 'must be a duration such as "90s", "30m" or "2h", but got "soon"'),
        ("limit", [], 'must be a duration such as "90s", "30m" or "2h", but got []'),
        ("limit", True, 'must be a duration such as "90s", "30m" or "2h", but got true'),
    ],
)
def test_a_wrong_value_gets_one_sentence(key, value, sentence):
    assert refused({"inner": {key: value}}) == f"f.toml: inner.{key}: {sentence}"


def test_a_number_may_be_written_whole_where_a_real_one_is_meant():
    assert validate(Outer, {"inner": {"share": 1}}, "f.toml").inner.share == 1.0


def test_a_misspelt_key_gets_the_nearest_one_and_all_others():
    assert refused({"inner": {"shares": 0.5}}) == (
        'f.toml: inner.shares: unknown key (did you mean "share"?); '
        "known keys are either, kind, limit, n, names, on, share, some"
    )


def test_a_missing_key_is_named():
    assert refused({}) == "f.toml: inner: is required"


def test_no_table_where_one_belongs():
    assert refused([]) == "f.toml: must be a table, but got []"
    assert refused({"inner": 1}) == "f.toml: inner: must be a table, but got 1"


def test_places_in_arrays_are_counted_in_brackets():
    tree = {"inner": {"names": ["a", 2]}, "other": [{}, {"n": 0}]}
    assert refused(tree).splitlines() == [
        "f.toml: inner.names[1]: must be a string, but got 2",
        "f.toml: other[1].n: must be at least 1, but got 0",
    ]


def test_a_union_complains_where_the_value_went_wrong():
    assert refused({"inner": {"either": {"a": "b"}}}) == (
        'f.toml: inner.either.a: must be a whole number, but got "b"'
    )


def test_a_long_value_is_shortened():
    assert len(refused({"inner": {"n": "x" * 1000}})) < 150


def test_the_prefix_opens_the_key():
    with pytest.raises(DefinitionError, match=r"^f\.toml: a\.b\.n: must be at least 1, but got 0$"):
        validate(Inner, {"n": 0}, "f.toml", ("a", "b"))


def test_dotted_quotes_what_is_no_bare_key():
    assert dotted(("data", "drop", 1)) == "data.drop[1]"
    assert dotted(("data", "a b", "größe")) == 'data."a b".größe'


def test_format_value_keeps_letters_of_all_alphabets():
    assert format_value("größe") == '"größe"'


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5 h", 5400), ("1d", 86400), ("7", 7), (7, 7)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("seconds", [1e-5, 1e-300, 0.1, 1e9, 12345.678])
def test_a_duration_in_seconds_reads_back_as_itself(seconds):
    assert parse_duration(seconds) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "0", "0s", "-1s", "1w", "h", "1h30m", 0, -1, math.nan, math.inf, "9" * 400, 10**400],
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="must be a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a = 1\na = 2", "is not valid TOML: Cannot overwrite a value"),
        (b"a = ", "is not valid TOML: Invalid value"),
        (b"[a]\n[a]", "is not valid TOML: Cannot declare"),
        (b"a = '\xff'", "is not a text file in UTF-8"),
        (b"a = " + b"9" * 5000, "is not valid TOML: Exceeds the limit"),
        (b"a = 9223372036854775808", "a: must be a whole number of at most 64 bits"),
        (b"a = 0x" + b"f" * 5000, "a: must be a whole number of at most 64 bits"),
        (b"a = {b = [2024-01-01]}", "a.b[0]: a date or time needs quotes here, but got 2024-01-01"),
        (b"a = 01:30:00", "a: a date or time needs quotes here, but got 01:30:00"),
        (b"a = " + b"[" * 100 + b"]" * 100, "is nested too deeply"),
        (b"a = " + b"[" * 9000 + b"]" * 9000, "is not valid TOML: "),
    ],
)
def test_a_file_that_is_refused(tmp_path, content, problem):
    path = tmp_path / "f.toml"
    path.write_bytes(content)
    with pytest.raises(DefinitionError) as caught:
        read_toml(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert problem in str(caught.value)


def test_a_file_from_windows_is_read(tmp_path):
    path = tmp_path / "f.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    assert read_toml(path) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("name", "problem"),
    [("none.toml", "no such file"), (".", "cannot be read (Is a directory)")],
)
def test_a_file_that_is_not_there(tmp_path, name, problem):
    with pytest.raises(DefinitionError) as caught:
        read_toml(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: {problem}"


def test_a_path_with_a_nul_byte():
    with pytest.raises(DefinitionError, match="null"):
        read_toml(Path("a\0b.toml"))


def test_a_message_holds_no_password_and_no_endless_key():
    assert format_value("https://me:topsecret@host/t.csv") == '"https://me:***@host/t.csv"'
    assert len(refused({"inner": {"x" * 5000: 1}})) < 400
