"""Tables from files, URLs and built-in sets, typed in one way whatever they came from.

A typed table has three kinds of columns: Int64 and Float64 (numbers) and String. Text has no space
around it, and true and false are text in lower case. A missing value is null: an empty cell, NaN
and the words of `MISSING`. Of a column that holds anything else, such as lists, only its name and
its kind are kept: `is_usable` tells it, whoever needs it refuses it, and other columns serve.

Does not know: targets, splits, tensors.
"""

import gzip
import hashlib
import os
import re
import warnings
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from hpo.data.delimited import check_names, parse
from hpo.errors import DataError, first_line, nearest
from hpo.files.remote import downloaded
from hpo.parsing import shown
from hpo.urls import shown as shown_url
from hpo.urls import told

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "?")
BOOLEANS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
SEPARATORS = {".csv": ",", ".tsv": "\t"}
BUILT_IN = ("breast_cancer", "diabetes", "digits", "iris", "wine")


def read_table(source: str, base: Path, *, may_be_empty: bool = False) -> pl.DataFrame:
    """Read a table.

    Args:
        source: a CSV, TSV or Parquet file, the first two gzipped or not; an fsspec URL of one;
            `sklearn:NAME`; or `openml:NAME` or `openml:ID`.
        base: the folder that a relative path starts from.
        may_be_empty: whether a table without rows will do.

    Returns:
        The typed table.

    Raises:
        DataError: it is missing, unreadable, empty, or of a kind unknown here.
    """
    if "\0" in source:
        raise DataError(f"{shown(source)}: no such file")
    source = absolute_source(source, base)
    where = shown_url(source)
    if source.startswith("sklearn:"):
        frame = _from_sklearn(source)
    elif source.startswith("openml:"):
        frame = _from_openml(source)
    elif "://" in source:
        frame = _from_url(source, where)
    else:
        frame = _from_file(Path(source), _kind(source, where), where)
    if frame.is_empty() and not may_be_empty:
        raise DataError(f"{where}: holds no rows")
    return as_frame(frame, where)


def absolute_source(source: str, base: Path) -> str:
    """The source as it can be named from anywhere."""
    if source.startswith(("sklearn:", "openml:")) or "://" in source:
        return source
    return str((base / Path(source).expanduser()).resolve())


def as_frame(table: Any, where: str = "the table") -> pl.DataFrame:
    """Any table in memory as a typed one.

    Args:
        table: a polars or pandas DataFrame, or a dict of columns.
        where: its name, which opens each message.

    Raises:
        DataError: it is no table, or columns do not fit together.
    """
    if not isinstance(table, pl.DataFrame):
        if not isinstance(table, Mapping) and not _has_columns(table):
            kind = type(table).__name__
            raise DataError(f"{where}: must be a DataFrame or a dict of columns, but is a {kind}")
        names = [str(name) for name in table]
        check_names(names, where)
        columns = [_column(str(name), table[name]) for name in table]
        if len({len(column) for column in columns}) > 1:
            raise DataError(f"{where}: has columns of different lengths")
        table = pl.DataFrame(columns)
    return pl.DataFrame([_typed(column) for column in table.get_columns()])


def is_usable(column: pl.Series) -> bool:
    """Whether a typed table's column holds numbers or text."""
    return column.dtype.is_numeric() or column.dtype == pl.String


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 of a typed table's content: names, kinds and values, in their order, in hex.

    The same values give the same fingerprint whatever file they came from; 1 and 1.0 are the same.
    """
    digest = hashlib.sha256(f"{frame.height}".encode())
    for column in frame.get_columns():
        if not is_usable(column):
            digest.update(f"\0{column.name}\0other\0".encode())
            continue
        is_text = column.dtype == pl.String
        digest.update(f"\0{column.name}\0{'text' if is_text else 'number'}\0".encode())
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        if is_text:
            text = column.fill_null("")
            digest.update(text.str.len_bytes().to_numpy().astype("<i8").tobytes())
            digest.update("".join(text.to_list()).encode())
        else:
            digest.update(column.cast(pl.Float64).fill_null(0).to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()


def write_typed(frame: pl.DataFrame, file: Path | BinaryIO) -> None:
    """Write a typed table as Parquet.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        frame.write_parquet(file)
    except pl.exceptions.PolarsError as error:  # so it says that a disk is full
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from None


def read_typed(path: Path) -> pl.DataFrame:
    """What `write_typed` wrote.

    Raises:
        DataError: it is no such file, or only a part of one.
        OSError: it cannot be read.
    """
    return _parquet(path, str(path))


def _from_url(source: str, where: str) -> pl.DataFrame:
    try:
        path = urlsplit(source).path
    except ValueError:  # a bracket, which only an address of IPv6 may have
        raise DataError(f"{where}: is no URL: a [ or ] before its path must be quoted") from None
    kind = _kind(path, where)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(downloaded(source))
        except FileNotFoundError:
            raise DataError(f"{where}: no such file") from None
        except Exception as error:  # each of fsspec's file systems has exceptions of its own
            raise DataError(f"{where}: cannot be read: {told(error, source)}") from None
        _check_no_page(file, where)
        return _from_file(file, kind, where)


def _check_no_page(path: Path, where: str) -> None:
    """Refuse a web page, such as one to log in on, that a server gives in place of a table."""
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{where}: is no table but a web page, such as one to log in on")


def _kind(path: str, where: str) -> tuple[str, bool]:
    """What kind of file it is by the end of its name, and whether it is gzipped."""
    name = path.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in SEPARATORS and not name.endswith(".parquet"):
        raise DataError(f"{where}: must end in .csv, .tsv, .csv.gz, .tsv.gz or .parquet")
    return suffix, name.endswith(".gz")


def _from_file(path: Path, kind: tuple[str, bool], where: str) -> pl.DataFrame:
    suffix, is_zipped = kind
    try:
        if suffix == ".parquet":
            return _parquet(path, where)
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{where}: no such file") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read: {error.strerror or error}") from None
    try:
        if is_zipped:
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: cannot be parsed: {first_line(error)}") from None
    return pl.DataFrame([_parsed(column) for column in parse(content, SEPARATORS[suffix], where)])


def _parquet(path: Path, where: str) -> pl.DataFrame:
    with path.open("rb") as file:  # what is wrong with the path itself is an OSError of Python's
        try:
            return pl.read_parquet(file)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{where}: cannot be parsed: {first_line(error)}") from None


def _parsed(column: pl.Series) -> pl.Series:
    """A column of cells, which is numbers if every cell of it is."""
    text = _clean(column)
    if text.str.contains(r"^[+-]?0\d").any():  # postcodes and the like: 01234 is no number
        return text
    return _lossless(text, pl.Int64, pl.Float64)


def _from_sklearn(source: str) -> pl.DataFrame:
    name = source.removeprefix("sklearn:")
    if name not in BUILT_IN:
        listed = ", ".join(f"sklearn:{known}" for known in BUILT_IN)
        raise DataError(f"{source}: must be one of {listed}{nearest(name, BUILT_IN)}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
    target = bunch.target
    if "target_names" in bunch:
        target = np.asarray(bunch.target_names)[target]
    return pl.DataFrame({**columns, "target": target})


def _from_openml(source: str) -> pl.DataFrame:
    """A data set of OpenML, its default target a column like the others."""
    from sklearn.datasets import fetch_openml

    name = source.removeprefix("openml:")
    which = {"data_id": int(name)} if name.isdecimal() else {"name": name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each further try, and of versions; errors remain
            # Without pandas: values as one array of numbers, nominal ones as codes of their labels.
            bunch = fetch_openml(**which, target_column=None, as_frame=False, parser="liac-arff")
    except Exception as error:  # scikit-learn lets pass whatever the network raised
        raise DataError(f"{source}: cannot be fetched: {error}") from None
    if not isinstance(bunch.data, np.ndarray):
        raise DataError(f"{source}: must be a table, but is stored as a sparse matrix")
    columns = {
        column: _labelled(values, bunch.categories.get(column))
        for column, values in zip(bunch.feature_names, bunch.data.T, strict=True)
    }
    return pl.DataFrame(columns)


def _labelled(codes: np.ndarray, labels: list[str] | None) -> pl.Series:
    values = pl.Series(codes.astype(np.float64)).fill_nan(None)
    if labels is None:
        return values
    return pl.Series(labels, dtype=pl.String).gather(values.cast(pl.Int64))


def _has_columns(table: Any) -> bool:
    """Whether it is a DataFrame at hand; polars' lazy ones have no length."""
    return hasattr(table, "__len__") and hasattr(table, "columns")


def _column(name: str, values: Any) -> pl.Series:
    """A column of a dict or a pandas DataFrame; of mixed kinds it becomes text."""
    if isinstance(values, str) or not hasattr(values, "__iter__"):
        raise DataError(f'column "{name}" must be a list of values, but got {shown(values)}')
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if hasattr(values, "isna"):  # pandas, which has several values for missing
        gone = values.isna().tolist()
        listed = [None if is_gone else v for v, is_gone in zip(listed, gone, strict=True)]
    return pl.Series(name, listed, strict=False)


def _typed(column: pl.Series) -> pl.Series:
    kind = column.dtype
    if kind.is_integer():
        return _lossless(column, pl.Int64, pl.Float64)
    if kind.is_numeric() or kind == pl.Null:
        return column.cast(pl.Float64).fill_nan(None)
    texts = (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date, pl.Datetime, pl.Time)
    if kind in texts:
        return _clean(column.cast(pl.String))
    return column.clear(len(column))


def _clean(text: pl.Series) -> pl.Series:
    return text.str.strip_chars().replace(dict.fromkeys(MISSING) | BOOLEANS)


def _lossless(column: pl.Series, *kinds: type[pl.DataType]) -> pl.Series:
    """The column in the first of the kinds that holds each of its values, or as it is."""
    for kind in kinds:
        cast = column.cast(kind, strict=False)
        if cast.null_count() == column.null_count():
            return cast
    return column
