"""Tables from files, URLs and built-in sets, typed in one way whatever they came from.

A typed table has three kinds of columns: Float64 (numbers), Int64 (whole numbers) and String. A
missing value is null. Booleans become the strings "true" and "false".

Does not know: targets, splits, tensors.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import polars as pl

from hpo.errors import DataError, nearest

MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "?"]
SEPARATORS = {".csv": ",", ".tsv": "\t"}
BUILT_IN = ("breast_cancer", "diabetes", "digits", "iris", "wine")


def read_table(source: str, base: Path) -> pl.DataFrame:
    """Read a table.

    Args:
        source: a CSV, TSV or Parquet file, the first two gzipped or not; an fsspec URL of one;
            `sklearn:NAME`; or `openml:NAME` or `openml:ID`.
        base: the folder that a relative path starts from.

    Raises:
        DataError: it is missing, unreadable, empty, or of a kind unknown here.
    """
    if source.startswith("sklearn:"):
        frame = _from_sklearn(source.removeprefix("sklearn:"))
    elif source.startswith("openml:"):
        frame = _from_openml(source.removeprefix("openml:"))
    else:
        frame = _from_file(absolute_source(source, base))
    frame = as_frame(frame)
    if frame.is_empty():
        raise DataError(f"{source}: holds no rows")
    return frame


def absolute_source(source: str, base: Path) -> str:
    """The source as it can be named from anywhere."""
    if source.startswith(("sklearn:", "openml:")) or "://" in source:
        return source
    return str((base / Path(source).expanduser()).resolve())


def as_frame(table: Any) -> pl.DataFrame:
    """Any table in memory as a typed one.

    Args:
        table: a polars or pandas DataFrame, or a dict of columns.

    Raises:
        DataError: a column holds what is neither number nor text.
    """
    if not isinstance(table, pl.DataFrame):
        table = pl.DataFrame({str(name): _column(table[name]) for name in table})
    return table.select(_typed(table[name]) for name in table.columns)


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 of a typed table's content: names, kinds and values, in their order.

    The same values give the same fingerprint whatever file they came from.
    """
    digest = hashlib.sha256(f"{frame.height}".encode())
    for name in frame.columns:
        column = frame[name]
        digest.update(f"\0{name}\0{'text' if column.dtype == pl.String else 'number'}\0".encode())
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        if column.dtype == pl.String:
            encoded = column.fill_null("")
            lengths = encoded.str.len_bytes().to_numpy().astype("<i8")
            digest.update(lengths.tobytes() + "".join(encoded.to_list()).encode())
        else:
            digest.update(column.cast(pl.Float64).fill_null(0.0).to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()


def write_typed(frame: pl.DataFrame) -> bytes:
    """A typed table as Parquet."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def read_typed(content: bytes) -> pl.DataFrame:
    """What `write_typed` wrote."""
    return pl.read_parquet(io.BytesIO(content))


def _from_file(path: str) -> pl.DataFrame:
    name = path.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in (*SEPARATORS, ".parquet"):
        raise DataError(f"{path}: must end in .csv, .tsv or .parquet (or .csv.gz, .tsv.gz)")
    try:
        with fsspec.open(
            path, "rb", compression="gzip" if path.lower().endswith(".gz") else None
        ) as f:
            content: bytes = f.read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, EOFError, ValueError, ImportError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    try:
        if suffix == ".parquet":
            return pl.read_parquet(io.BytesIO(content))
        return _parse_text(content, SEPARATORS[suffix], path)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: cannot be parsed: {str(error).splitlines()[0]}") from None


def _parse_text(content: bytes, separator: str, path: str) -> pl.DataFrame:
    """Parse CSV or TSV, types inferred from every row."""
    header = content.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    if not header.strip():
        raise DataError(f"{path}: is empty")
    names = pl.read_csv(header + b"\n", separator=separator, has_header=False).row(0)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: has two columns named {twice}")
    return pl.read_csv(content, separator=separator, null_values=MISSING, infer_schema_length=None)


def _from_sklearn(name: str) -> pl.DataFrame:
    if name not in BUILT_IN:
        listed = ", ".join(f"sklearn:{known}" for known in BUILT_IN)
        raise DataError(f"sklearn:{name}: must be one of {listed}{nearest(name, BUILT_IN)}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
    target = bunch.target
    if "target_names" in bunch:
        target = np.asarray(bunch.target_names)[target]
    return pl.DataFrame({**columns, "target": target})


def _from_openml(name: str) -> pl.DataFrame:
    from sklearn.datasets import fetch_openml

    which = {"data_id": int(name)} if name.isdecimal() else {"name": name, "version": "active"}
    try:
        bunch = fetch_openml(**which, as_frame=False, parser="liac-arff")
    except Exception as error:  # scikit-learn lets whatever the network raised pass through
        raise DataError(f"openml:{name}: cannot be fetched: {error}") from None
    labels = {key: np.asarray(values) for key, values in (bunch.categories or {}).items()}
    columns = {
        column: _labelled(values, labels.get(column))
        for column, values in zip(bunch.feature_names, bunch.data.T, strict=True)
    }
    return pl.DataFrame({**columns, bunch.target_names[0]: bunch.target})


def _labelled(codes: Any, labels: Any) -> list[Any]:
    """An ARFF nominal column by its labels; a code that is no number is missing."""
    values = np.asarray(codes, dtype=np.float64)
    if labels is None:
        return [None if np.isnan(value) else float(value) for value in values]
    return [None if np.isnan(value) else str(labels[int(value)]) for value in values]


def _column(values: Any) -> list[Any]:
    """A column of a pandas DataFrame or a dict as a list, its missing values None."""
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    return [None if value is None or value != value else value for value in listed]


def _typed(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Boolean:
        return column.cast(pl.String)
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_nan(None)
    if column.dtype == pl.Null:
        return column.cast(pl.Float64)
    if column.dtype == pl.String or column.dtype.is_temporal() or column.dtype == pl.Categorical:
        text = column.cast(pl.String)
        return text.replace("", None).alias(column.name)
    raise DataError(f"column {column.name}: must hold numbers or text, but holds {column.dtype}")
