"""Conversion of `X` and `y` to tables of raw cells."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars
from numpy.typing import NDArray
from sklearn.utils import check_array

from hpo.config.errors import InputError
from hpo.config.trial import DataConfig
from hpo.data.reader import check_usable
from hpo.data.sources import RawTable, as_frame
from hpo.data.table import typed_table
from hpo.data.target import text_of

Array = NDArray[Any]


def as_table(X: Any, min_rows: int) -> polars.DataFrame:
    """Convert `X` to a table of raw cells.

    Args:
        X: DataFrame or array-like; the columns of an array are named x0, x1 and so on.
        min_rows: minimum number of rows.

    Raises:
        ValueError: there are too few rows or columns, or the array is not two-dimensional.
        TypeError: the array is sparse.
        DataError: a column holds neither numbers nor text.
    """
    frame = as_frame(_from_frame(X, min_rows) if _is_frame(X) else _from_array(X, min_rows), "X")
    for column in frame:
        check_usable(column, "X")
    return frame


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and hasattr(X, "shape")


def _from_frame(X: Any, min_rows: int) -> Any:
    shape = np.broadcast_to(0.0, X.shape)  # takes no memory; scikit-learn checks its shape
    check_array(shape, ensure_min_samples=min_rows, ensure_all_finite=False)
    return X


def _from_array(X: Any, min_rows: int) -> Any:
    array = check_array(
        X, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=min_rows, input_name="X"
    )
    names = [f"x{place}" for place in range(array.shape[1])]
    if array.dtype.kind in "OSU":
        return {name: _cells(column) for name, column in zip(names, array.T, strict=True)}
    if array.dtype.kind == "f":
        array = array.astype(np.float64)  # polars does not support every width
    return polars.DataFrame(array, schema=names, orient="row")


def _cells(column: Array) -> list[Any]:
    """Convert to Python values; pandas' NA becomes None."""
    missing = getattr(sys.modules.get("pandas"), "NA", None)
    return [None if value is missing else value for value in column.tolist()]


def label_texts(classes: Array) -> list[str]:
    """Return labels as the text that the model stores.

    Raises:
        InputError: two labels have the same text, or a label is read as a missing value.
    """
    raw = RawTable(frame=as_frame({"y": classes}), is_text=False, where="y")
    data = DataConfig(source="y", target="y", task="multiclass")
    typed = typed_table(raw, data).frame["y"]
    if typed.has_nulls():
        label = classes[int(typed.is_null().arg_true()[0])]
        raise InputError(f"y must hold labels, but {label!r} is read as a missing value")
    texts = text_of(typed)
    if texts.n_unique() < len(classes):
        first, second = classes[(texts == texts.filter(texts.is_duplicated())[0]).to_numpy()][:2]
        raise InputError(f"y must hold distinct labels, but got {first!r} and {second!r}")
    return texts.to_list()


def free_name(taken: Sequence[str], name: str) -> str:
    """Return the name, or a longer one that no column has."""
    while name in taken:
        name += "_"
    return name


def column_names(columns: Sequence[str | int], names: Sequence[str]) -> list[str]:
    """Return the names of columns that are given by name or index."""
    if isinstance(columns, str):
        raise InputError(f"categorical must be a list of columns, but got {columns!r}")
    known: dict[str | int, str] = {**dict(enumerate(names)), **{name: name for name in names}}
    if unknown := [column for column in columns if column not in known]:
        listed = f"columns of X by name, or by index from 0 to {len(names) - 1}"
        raise InputError(f"categorical must list {listed}, but got {unknown[0]!r}")
    return [known[column] for column in columns]
