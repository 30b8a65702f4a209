"""Raw tables from files, URLs, built-in data sets and frames in memory.

The cells of a raw table are text if they come from CSV or TSV, and typed values otherwise.
`hpo.data.kinds` chooses their readers.
"""

import gzip
import os
import re
import warnings
import zlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
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

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_BUILT_IN = ("breast_cancer", "diabetes", "digits", "iris", "wine")


@dataclass(frozen=True, kw_only=True)
class RawTable:
    """A table before its cells are read.

    Attributes:
        frame: the cells, as text or typed values.
        is_text: whether the cells come from a text file, where words may mean a missing value.
        where: the table's name in messages.
        notes: sentences on oddities of the file.
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
        source: a CSV, TSV, .csv.gz, .tsv.gz or Parquet file; an fsspec URL of such a file;
            `sklearn:NAME`; `openml:NAME` or `openml:ID`.
        base: the folder that a relative path starts from.
        separator: the cell separator of a text file; None detects it from the file.
        may_be_empty: whether a table without rows is accepted.

    Raises:
        DataError: the table is missing, unreadable, empty, or of an unknown file type.
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
        raw = _from_file(Path(source), _file_type(source, where), where, separator)
    check_names(raw.frame.columns, where)
    if raw.frame.is_empty() and not may_be_empty:
        raise DataError(f"{where}: holds no rows")
    return raw


def absolute_source(source: str, base: Path) -> str:
    """The source with an absolute path."""
    if source.startswith(("sklearn:", "openml:")) or "://" in source:
        return source
    path = Path(source)
    with suppress(RuntimeError):  # ~NAME without such a user is a file of that name
        path = path.expanduser()
    return str((base / path).resolve())


def as_frame(table: Any, where: str = "the table") -> pl.DataFrame:
    """Convert a table in memory to a polars frame with unchanged values.

    Args:
        table: a polars or pandas DataFrame, or a dict of columns.
        where: the table's name, which opens each message.

    Raises:
        DataError: the value is not a table, or its columns differ in length.
    """
    if isinstance(table, pl.DataFrame):
        check_names(table.columns, where)
        return table
    is_frame = hasattr(table, "__len__") and hasattr(table, "columns")  # no lazy frame
    if not isinstance(table, Mapping) and not is_frame:
        given = type(table).__name__
        raise DataError(f"{where}: must be a DataFrame or a dict of columns, but is a {given}")
    names = [str(name) for name in table]
    check_names(names, where)
    columns = {str(name): column_of(str(name), table[name], where) for name in table}
    if len({len(column) for column in columns.values()}) > 1:
        raise DataError(f"{where}: has columns of different lengths")
    return pl.DataFrame(columns)


def write_parquet(
    frame: pl.DataFrame, file: Path | BinaryIO, metadata: dict[str, str] | None = None
) -> None:
    """Write a table as Parquet.

    Args:
        frame: the table.
        file: the path or an open file.
        metadata: texts to store in the file's metadata.

    Raises:
        OSError: the file cannot be written.
    """
    try:
        frame.write_parquet(file, metadata=metadata)
    except pl.exceptions.PolarsError as error:  # for example, of a full disk
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from None


def _from_url(source: str, where: str, separator: str | None) -> RawTable:
    try:
        path = urlsplit(source).path
    except ValueError:  # a bracket outside of an IPv6 address
        raise DataError(f"{where}: is not a URL: a [ or ] before its path must be quoted") from None
    file_type = _file_type(path, where)
    with ExitStack() as stack:
        try:
            file = stack.enter_context(downloaded(source))
        except FileNotFoundError:
            raise DataError(f"{where}: no such file") from None
        except Exception as error:  # fsspec's file systems raise their own exceptions
            raise DataError(f"{where}: cannot be read: {describe_error(error, source)}") from None
        _refuse_web_page(file, where)
        return _from_file(file, file_type, where, separator)


def _refuse_web_page(path: Path, where: str) -> None:
    """Refuse a web page, such as a login page, that a server returns in place of a table."""
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{where}: is not a table but a web page, such as a login page")


def _file_type(path: str, where: str) -> tuple[str, bool]:
    """The suffix of a file name without .gz, and whether the file is gzipped."""
    name = path.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix not in _SEPARATORS and not name.endswith(".parquet"):
        raise DataError(f"{where}: must end in .csv, .tsv, .csv.gz, .tsv.gz or .parquet")
    return suffix, name.endswith(".gz")


def _from_file(
    path: Path, file_type: tuple[str, bool], where: str, separator: str | None
) -> RawTable:
    suffix, is_zipped = file_type
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
    frame, notes = parse(content, where, separator, _SEPARATORS[suffix])
    return RawTable(frame=frame, is_text=True, where=where, notes=notes)


def read_parquet(path: Path, where: str) -> pl.DataFrame:
    """Read a Parquet file.

    Raises:
        DataError: the file is not Parquet, or is incomplete.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:  # raises Python's OSError if the path is wrong
        try:
            return pl.read_parquet(file)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{where}: cannot be parsed: {first_line(error)}") from None


def _from_sklearn(source: str) -> pl.DataFrame:
    name = source.removeprefix("sklearn:")
    if name not in _BUILT_IN:
        listed = ", ".join(f"sklearn:{known}" for known in _BUILT_IN)
        raise DataError(f"{source}: must be one of {listed}{nearest(name, _BUILT_IN)}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
    target = bunch.target
    if "target_names" in bunch:
        target = np.asarray(bunch.target_names)[target]
    return pl.DataFrame({**columns, "target": target})


def _from_openml(source: str) -> pl.DataFrame:
    """A data set of OpenML, with its default target as an ordinary column."""
    from sklearn.datasets import fetch_openml

    name = source.removeprefix("openml:")
    which = {"data_id": int(name)} if name.isdecimal() else {"name": name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of retries and versions; errors are raised
            # Without pandas, values are one numeric array with nominal values as codes.
            bunch = fetch_openml(**which, target_column=None, as_frame=False, parser="liac-arff")
    except Exception as error:  # scikit-learn passes on any network error
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
