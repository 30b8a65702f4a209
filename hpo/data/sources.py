"""Raw tables from files, URLs, built-in sets and frames in memory.

A raw table's cells are what its source holds: text from CSV and TSV, typed values from everything
else. What they mean is decided in `hpo.data.kinds` and read by `hpo.data.reader`.
"""

import gzip
import os
import re
import warnings
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from hpo.config.errors import DataError, first_line, nearest
from hpo.config.parsing import format_value
from hpo.config.urls import describe_error, hide_passwords
from hpo.data.delimited import check_names, parse
from hpo.data.values import column_of
from hpo.files.remote import downloaded

SEPARATORS = {".csv": ",", ".tsv": "\t"}
BUILT_IN = ("breast_cancer", "diabetes", "digits", "iris", "wine")


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """Cells as they stand.

    Attributes:
        frame: a column each; text, or typed values.
        is_text: whether it comes from a text file, in which words may stand for missing values.
        where: its name in messages.
        notes: on what is odd about the file, a sentence each.
    """

    frame: pl.DataFrame
    is_text: bool
    where: str
    notes: tuple[str, ...] = ()


def read_raw(
    source: str, base: Path, *, separator: str | None = None, may_be_empty: bool = False
) -> RawTable:
    """Read a table.

    Args:
        source: a CSV, TSV or Parquet file, the first two gzipped or not; an fsspec URL of one;
            `sklearn:NAME`; or `openml:NAME` or `openml:ID`.
        base: the folder that a relative path starts from.
        separator: between the cells of a text file; found from the file where it is None.
        may_be_empty: whether a table without rows will do.

    Raises:
        DataError: it is missing, unreadable, empty, or of a kind unknown here.
    """
    if "\0" in source:
        raise DataError(f"{format_value(source)}: no such file")
    source = absolute_source(source, base)
    where = hide_passwords(source)
    if source.startswith("sklearn:"):
        raw = RawTable(frame=_from_sklearn(source), is_text=False, where=where)
    elif source.startswith("openml:"):
        raw = RawTable(frame=_from_openml(source), is_text=False, where=where)
    elif "://" in source:
        raw = _from_url(source, where, separator)
    else:
        raw = _from_file(Path(source), _kind(source, where), where, separator)
    check_names(raw.frame.columns, where)
    if raw.frame.is_empty() and not may_be_empty:
        raise DataError(f"{where}: holds no rows")
    return raw


def absolute_source(source: str, base: Path) -> str:
    """The source as it can be named from anywhere."""
    if source.startswith(("sklearn:", "openml:")) or "://" in source:
        return source
    return str((base / Path(source).expanduser()).resolve())


def as_frame(table: Any, where: str = "the table") -> pl.DataFrame:
    """Any table in memory as a polars frame, its values as they are.

    Args:
        table: a polars or pandas DataFrame, or a dict of columns.
        where: its name, which opens each message.

    Raises:
        DataError: it is no table, or its columns do not fit together.
    """
    if isinstance(table, pl.DataFrame):
        check_names(table.columns, where)
        return table
    if not isinstance(table, Mapping) and not _has_columns(table):
        kind = type(table).__name__
        raise DataError(f"{where}: must be a DataFrame or a dict of columns, but is a {kind}")
    names = [str(name) for name in table]
    check_names(names, where)
    columns = {str(name): column_of(str(name), table[name], where) for name in table}
    if len({len(column) for column in columns.values()}) > 1:
        raise DataError(f"{where}: has columns of different lengths")
    return pl.DataFrame(columns)


def write_parquet(
    frame: pl.DataFrame, file: Path | BinaryIO, about: dict[str, str] | None = None
) -> None:
    """Write a table as Parquet.

    Args:
        frame: what is written.
        file: where to.
        about: texts that go into the file with it.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        frame.write_parquet(file, metadata=about)
    except pl.exceptions.PolarsError as error:  # so it says that a disk is full
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from None


def _from_url(source: str, where: str, separator: str | None) -> RawTable:
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
            raise DataError(f"{where}: cannot be read: {describe_error(error, source)}") from None
        _check_no_page(file, where)
        return _from_file(file, kind, where, separator)


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


def _from_file(path: Path, kind: tuple[str, bool], where: str, separator: str | None) -> RawTable:
    """The table in a file."""
    suffix, is_zipped = kind
    try:
        if suffix == ".parquet":
            return RawTable(frame=read_parquet(path, where), is_text=False, where=where)
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
    frame, notes = parse(content, where, separator, SEPARATORS[suffix])
    return RawTable(frame=frame, is_text=True, where=where, notes=notes)


def read_parquet(path: Path, where: str) -> pl.DataFrame:
    """Read a Parquet file.

    Raises:
        DataError: it is none, or only a part of one.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:  # what is wrong with the path itself is an OSError of Python's
        try:
            return pl.read_parquet(file)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{where}: cannot be parsed: {first_line(error)}") from None


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
