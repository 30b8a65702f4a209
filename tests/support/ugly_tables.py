"""Random ugly tables: cells of every kind, damaged bytes, odd types."""

import datetime
import decimal
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from hpo.config.trial import DataConfig, SplitConfig

Random = np.random.Generator
Cells = list[str]

WORDS = (
    *("", "NA", "N/A", "nan", "None", "-", "?", "null", " ", "inf", "-inf", "1e400", "-0", "0x1F"),
    *("yes", "no", "true", "False", "TRUE", "café", "日本", "🙂", 'say "hi"', "a,b", "a;b", "a\tb"),
    *("1.10", "2.5b", "1E5", "007", "1,234", "1.234", "1,5", "12%", "$5", "(3)", "5-", "<0.5"),
    *("2024-02-03", "03/02/2024", "13/02/2024", "2024-02-30", "0000-00-00", "9999-12-31 23:59"),
    *(
        "12:30",
        "25:00",
        "20240203",
        "1/2",
        "12 kg",
        "1_000",
        "\uff11\uff12",
        "'5",
        "9" * 20,
        "9" * 400,
    ),
    *("\u00a01", "x" * 500, "\x00", "\x1b[0m", "^a$", "*", "=1+1", "\u202e", "2024-02-03T24:00Z"),
)
NAMES = (
    *("x", "y", "a b", "größe", "prediction", "probabilities", "", " ", "*", "^x$", "x", "target"),
    *("Unnamed: 0", "a,b", 'q"q', ".dotted", "1", "split", "\N{SNOWMAN}", "probability_1"),
    "x" * 300,
)
BYTES = (
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b'"', b'""', b"\n", b"\r", b"\r\n", b",", b";", b"\t"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"NA", b"inf", b"9" * 30, b",,,", b"-", b"'", b"\\", b"1e999"),
)


def text_table(random: Random) -> bytes:
    """CSV or TSV, perhaps damaged."""
    n_rows = int(random.choice([0, 1, 2, 8, *[25, 40, 40] * 4]))
    names = _names(random)
    columns = [_cells(random, n_rows) for _ in names]
    if random.random() < 0.9:
        columns[0] = [str(label) for label in random.choice(["yes", "no"], n_rows)]
    rows = [names, *(list(row) for row in zip(*columns, strict=True))]
    if random.random() < 0.05 and rows:
        _make_ragged(random, rows)
    separator = str(random.choice([",", ",", ",", ";", "\t", "|"]))
    quoting = random.choice(["needed", "needed", "all", "never"])
    end = str(random.choice(["\n", "\n", "\r\n"]))
    text = end.join(separator.join(_quoted(c, separator, quoting) for c in row) for row in rows)
    content = text.encode() + (b"" if random.random() < 0.3 else end.encode())
    if random.random() < 0.05:
        content = codecs_of(random, text)
    if random.random() < 0.15:
        content = damaged(random, content)
    return content


def codecs_of(random: Random, text: str) -> bytes:
    """Encode a text in another encoding, or with a byte order mark."""
    encoding = str(random.choice(["utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252"]))
    return text.encode(encoding, errors="replace")


def damaged(random: Random, content: bytes) -> bytes:
    """Change, insert, remove or cut off random bytes."""
    spoilt = bytearray(content)
    for _ in range(int(random.integers(1, 6))):
        at = int(random.integers(0, len(spoilt) + 1))
        way = random.integers(0, 5)
        if way == 0:
            spoilt[at:at] = BYTES[random.integers(len(BYTES))]
        elif way == 1:
            spoilt[at : at + 1] = bytes([int(random.integers(256))])
        elif way == 2:
            del spoilt[at : at + int(random.integers(1, 20))]
        elif way == 3:
            spoilt[at:at] = spoilt[at : at + int(random.integers(1, 40))]
        else:
            del spoilt[at + len(spoilt) // 2 :]
    return bytes(spoilt)


def _names(random: Random) -> Cells:
    n = int(random.choice([1, 2, 2, 3, 3, 4, 6]))
    if random.random() < 0.2:
        return [str(name) for name in random.choice(np.array(NAMES, dtype=object), n)]
    return ["y", "x", "a b", "größe", "prediction", "split"][:n]


def _cells(random: Random, n: int) -> Cells:
    """A column of text cells."""
    kinds: list[Callable[[], Cells]] = [
        lambda: [str(value) for value in random.integers(-5, 50, n)],
        lambda: [f"{value:.3f}" for value in random.normal(size=n)],
        lambda: [f"{value:.2f}".replace(".", ",") for value in random.normal(size=n)],
        lambda: [f"{value:,}" for value in random.integers(0, 10**6, n)],
        lambda: [f"{value:.1f}%" for value in random.normal(size=n)],
        lambda: [f"${value:,.2f}" for value in random.uniform(0, 1e4, n)],
        lambda: [str(10**19 + int(value)) for value in random.integers(0, 10**6, n)],
        lambda: list(random.choice(["true", "false"], n)),
        lambda: list(random.choice(["a", "b", "größe"], n)),
        lambda: list(random.choice(["1.10", "2.5b", "1E5", "007"], n)),
        lambda: [f"2024-{value:02}-01" for value in random.integers(1, 14, n)],
        lambda: [f"{value:02}/02/2024 10:00" for value in random.integers(1, 32, n)],
        lambda: [f"{value}:30" for value in random.integers(0, 25, n)],
        lambda: [f"{value}" for value in random.normal(size=n) * 1e39],
        lambda: ["train", "val", "test"] * (n // 3) + ["train"] * (n % 3),
        lambda: [""] * n,
        lambda: ["same"] * n,
        lambda: [WORDS[index] for index in random.integers(0, len(WORDS), n)],
    ]
    cells = [str(cell) for cell in kinds[random.integers(len(kinds))]()]
    if random.random() < 0.3:
        for index in random.integers(0, n, n // 8 + 1) if n else ():
            cells[index] = WORDS[random.integers(len(WORDS))]
    return cells


def _make_ragged(random: Random, rows: list[Cells]) -> None:
    row = rows[random.integers(len(rows))]
    if random.random() < 0.5 and row:
        row.pop()
    else:
        row.append("more")


def _quoted(cell: str, separator: str, quoting: str) -> str:
    is_needed = any(mark in cell for mark in (separator, '"', "\n", "\r"))
    if quoting == "all" or (quoting == "needed" and is_needed):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def frame_table(random: Random) -> pl.DataFrame:
    """A table of typed columns, including lists and structs."""
    n = int(random.choice([1, 5, 30, 30, 40, 40]))
    names = list(dict.fromkeys(_names(random)))
    columns = {name: _typed(random, n) for name in names}
    if random.random() < 0.9:
        columns[names[0]] = pl.Series(random.choice([1, 2], n))
    return pl.DataFrame(columns)


def _typed(random: Random, n: int) -> pl.Series:
    whole = random.integers(-3, 100, n)
    real = random.normal(size=n)
    start = datetime.datetime(2024, 2, 3)
    days = [start + datetime.timedelta(days=int(value)) for value in whole]
    texts = [str(value) for value in random.choice(["a", "b", "1.10", ""], n)]
    kinds: list[Callable[[], pl.Series]] = [
        lambda: pl.Series(whole).cast(pl.Int8),
        lambda: pl.Series(whole.astype("i8") + 2**61),
        lambda: pl.Series([10**30 + int(value) for value in whole], dtype=pl.Int128),
        lambda: pl.Series(real.astype("f4")),
        lambda: pl.Series(np.where(real > 1, np.nan, real)),
        lambda: pl.Series(np.where(real > 2, np.inf, real)),
        lambda: pl.Series(real > 0),
        lambda: pl.Series([None if value > 1 else value for value in real], dtype=pl.Float64),
        lambda: pl.Series([None] * n),
        lambda: pl.Series(texts),
        lambda: pl.Series(texts).cast(pl.Categorical),
        lambda: pl.Series(texts).cast(pl.Enum(sorted(set(texts)))),
        lambda: pl.Series(days).cast(pl.Datetime("ns")),
        lambda: pl.Series(days, dtype=pl.Datetime).dt.replace_time_zone("Europe/Berlin"),
        lambda: pl.Series(days).cast(pl.Date),
        lambda: pl.Series(days).cast(pl.Time),
        lambda: pl.Series([datetime.timedelta(seconds=float(value)) for value in real]),
        lambda: pl.Series([decimal.Decimal(f"{value:.2f}") for value in real]),
        lambda: pl.Series([[1, 2]] * n),
        lambda: pl.Series([{"a": 1}] * n),
        lambda: pl.Series([b"\xff\x00"] * n),
        lambda: pl.Series(texts[:1] * n),
        lambda: pl.Series(_cells(random, n)),
    ]
    return kinds[random.integers(len(kinds))]()


def memory_table(random: Random, columns: list[str]) -> Any:
    """Values in memory of mixed kinds: a pandas frame or a dict of columns."""
    n = int(random.choice([0, 1, 2, 7]))
    made = {name: _values(random, n) for name in columns}
    if random.random() < 0.5:
        return {name: list(values) for name, values in made.items()}
    return pd.DataFrame({name: pd.Series(values) for name, values in made.items()})


def _values(random: Random, n: int) -> Any:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    odd = [
        *(None, float("nan"), float("inf"), True, np.bool_(False), 1, 10**30, 2**63, 1.5, -0.0),
        *("a", "", "NA", "1.10", "2024-02-03", "\ud800", b"a", [1], {"a": 1}, {1}, object(), 1j),
        *(decimal.Decimal("1.10"), decimal.Decimal("NaN"), np.float32(0.1), np.int8(3)),
        *(datetime.date(2024, 2, 3), datetime.datetime(2024, 2, 3, 4), datetime.time(1, 2)),
        *(datetime.datetime(2024, 2, 3, tzinfo=zone), datetime.timedelta(1), pd.NaT, pd.NA),
        *(pd.Timestamp("2024-02-03", tz="Europe/Berlin"), pd.Timestamp(1), pd.Period("2024-02")),
        *(np.datetime64("2024-02-03"), np.datetime64("NaT"), np.array([1, 2]), pd.Interval(0, 1)),
    ]
    pick = random.integers(0, 4)
    if pick == 0:
        return pd.Series([odd[index] for index in random.integers(0, len(odd), n)], dtype=object)
    if pick == 1:
        return pd.Series([odd[random.integers(len(odd))]] * n, dtype=object)
    if pick == 2:
        return pd.Series(_cells(random, n))
    return pd.Series(_typed(random, n).to_list())


def study(random: Random, columns: list[str]) -> DataConfig:
    """A random data section of a study for such a table."""
    is_other = random.random() < 0.1 or "y" not in columns
    name = str(random.choice(columns)) if is_other and columns else "y"
    keys: dict[str, Any] = {"target": name if random.random() < 0.97 else "no such column"}
    if random.random() < 0.2:
        keys["task"] = str(random.choice(["binary", "multiclass", "regression"]))
    for key in ("drop", "numeric", "categorical", "dates"):
        if random.random() < 0.1 and columns:
            keys[key] = (str(random.choice(columns)),)
    if random.random() < 0.1:
        keys["missing"] = ("a", "-999")
    if random.random() < 0.1:
        keys["decimal"] = str(random.choice([".", ","]))
    if random.random() < 0.1:
        keys["thousands"] = str(random.choice(["", ",", ".", " ", "'"]))
    if random.random() < 0.1:
        keys["date_order"] = str(random.choice(["ymd", "dmy", "mdy"]))
    if random.random() < 0.1:
        keys["positive"] = "a" if random.random() < 0.5 else 1
    if random.random() < 0.1:
        keys["max_categories"] = 2
    if random.random() < 0.1:
        keys["split"] = SplitConfig(column="split")
    return DataConfig(source="t.csv", **keys)


def write(random: Random, folder: Path) -> str:
    """Write a random table; return the name of its file."""
    if random.random() < 0.25:
        content = io.BytesIO()
        frame_table(random).write_parquet(content)
        name, made = "t.parquet", content.getvalue()
        if random.random() < 0.1:
            made = damaged(random, made)
    else:
        name, made = str(random.choice(["t.csv", "t.tsv"])), text_table(random)
        if random.random() < 0.05:
            name, made = f"{name}.gz", gzip.compress(made, 1)
            if random.random() < 0.5:
                made = damaged(random, made)
    (folder / name).write_bytes(made)
    return name
