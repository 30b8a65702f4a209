"""`hpo init`: draft a study file from a table.

A comment beside each guess gives its reason, so that users can correct it.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import tomli_w

from hpo.config.errors import AmbiguousCellsError, DataError
from hpo.config.metrics import METRICS, MetricName
from hpo.config.parsing import format_value
from hpo.config.trial import DataConfig, SplitConfig, Task
from hpo.data.dataset import load_dataset
from hpo.data.inference import FEW_ROWS, identifier, numbers_the_rows
from hpo.data.notes import reading_notes
from hpo.data.reader import MISSING, Kind, is_usable
from hpo.data.sources import read_raw
from hpo.data.split import PARTS
from hpo.data.table import Table, read_table
from hpo.data.target import MAX_CLASSES, class_labels, ordered_classes, resolve_task, text_of

_SMALL_TABLE = 2_000
"""In a table of at most so many rows, folds are worth their time; smaller ones get the search space
of small networks."""
_SPLIT_NAMES = ("split", "fold", "subset", "partition")
_RARE = 0.2
"""If the rarer class has a smaller share of the rows, accuracy is a poor metric."""

_BATCH_SIZES = {1_000: 32, 10_000: 128, 100_000: 256}
"""Batch sizes by the maximum number of rows; larger tables use `_LARGE_BATCH`."""

_LARGE_BATCH = 1024
_MAX_STEP = 100
"""Maximum mean difference between consecutive row identifiers."""


def draft(table_source: str, target: str, base: Path) -> str:
    """Draft the study file of a table.

    Args:
        table_source: path or URL of the table, as `data.source` takes it.
        target: the column to predict.
        base: the folder that the study file will be in.

    Returns:
        The text of a valid study file.

    Raises:
        DataError: the table cannot be read, or the target cannot be predicted.
    """
    table, data, settled = _read(DataConfig(source=table_source, target=target), base)
    frame, task = table.frame, resolve_task(table, data)
    split = _split_column(frame, target)
    features = [name for name in frame.columns if name not in (target, split)]
    dropped = {name: why for name in features if (why := _useless(frame[name]))}
    if len(dropped) == len(features):
        dropped = {name: why for name, why in dropped.items() if not is_usable(frame[name])}
    features = [name for name in features if name not in dropped]
    lines = [
        f"# Drafted from a table of {frame.height:,} rows and {frame.width:,} columns.",
        "# Comments give the reason of each guess. Change what does not fit.",
        f"name = {_toml(_name(table_source))}",
        _space_line(frame.height),
        "",
        "[data]",
        f"source = {_toml(table_source)}  # relative to this file",
        f"target = {_toml(target)}",
        f"task = {_toml(task)}  # {_why(frame[target], task)}",
        *settled,
        *_positive_lines(frame[target], task, data),
        *_split_lines(frame, split),
        *_drop_lines(dropped),
        *(f"# Note: {note}." for note in _notes(table, data, task, split, dropped)),
        *_feature_lines(table, features),
        "",
        "[objective]",
        *_metric_lines(frame[target], task),
        "",
        "[training]",
        f"batch_size = {suited_batch_size(frame.height)}",
        "",
        "[sampler]",
        'name = "tpe"',
        "seed = 0",
        "",
        "[pruner]",
        'name = "median"',
        "",
        "[budget]",
        "n_trials = 100",
        'timeout = "1h"',
    ]
    return "\n".join(lines) + "\n"


def _read(data: DataConfig, base: Path) -> tuple[Table, DataConfig, list[str]]:
    """Read the table; return it with the settings it needs and their lines in the study file."""
    lines: list[str] = []
    while True:
        try:
            table = read_table(data, base)
            resolve_task(table, data)
        except AmbiguousCellsError as error:  # the user must choose
            first, second = error.options
            lines += [f"# {error}", f'# {error.key} = "{first}"  # or "{second}"']
            change: dict[str, Any] = {error.key: first}
            data = replace(data, **change)
        except DataError:
            if (words := _class_word(data, base)) is None:
                raise
            data = replace(data, missing=words)
            why = "the usual words for a missing value, except one that is a class"
            lines.append(f"missing = {_array(words)}  # {why}")
        else:
            return table, data, lines


def _class_word(data: DataConfig, base: Path) -> tuple[str, ...] | None:
    """The usual words for missing values, without one that is clearly a class of the target.

    A word is a class if it is at least half as frequent as the rarest of the other classes.

    Returns:
        The other words, or None if not exactly one word is a class.
    """
    if data.missing is not None:
        return None
    raw = read_raw(data.source, base)
    if not raw.is_text or data.target not in raw.frame.columns:
        return None
    cells = raw.frame[data.target].str.strip_chars().drop_nulls()
    counts = dict(cells.value_counts().rows())
    others = [n for word, n in counts.items() if word not in MISSING]
    classes = [word for word in MISSING if 2 * counts.get(word, 0) >= min(others, default=1)]
    if len(classes) != 1 or len(others) > MAX_CLASSES or len(cells) < len(raw.frame):
        return None
    return tuple(word for word in MISSING if word not in ("", *classes))


def _notes(
    table: Table, data: DataConfig, task: Task, split: str | None, dropped: Iterable[str]
) -> Sequence[str]:
    """The notes on a study of this file; if it cannot be created, they end with the reason."""
    own = replace(data, drop=tuple(dropped), split=SplitConfig(column=split))
    if task == "binary":  # the file names the positive class: no note on it
        own = replace(own, positive=ordered_classes(table.frame[data.target], task, data)[1])
    try:
        return load_dataset(table, own).schema.notes
    except DataError as error:  # the user must fix it
        return [*reading_notes(table, own), str(error)]


def _space_line(n_rows: int) -> str:
    name, other = ("mlp_small", "mlp") if n_rows < _SMALL_TABLE else ("mlp", "mlp_small")
    return f"search_space = {_toml(name)}  # or {_toml(other)}, a path, or an inline table"


def _split_column(frame: pl.DataFrame, target: str) -> str | None:
    """The column that assigns rows to the training, validation and test parts, if there is one."""
    for name in frame.columns:
        if name.lower() in _SPLIT_NAMES and name != target and is_usable(frame[name]):
            values = set(text_of(frame[name]))
            if values <= set(PARTS) and {PARTS[value] for value in values} == set(PARTS.values()):
                return name
    return None


def _useless(column: pl.Series) -> str:
    """Why a column is proposed for `data.drop`; empty if it is not."""
    if not is_usable(column):
        return f"holds {column.dtype}, neither numbers nor text"
    if column.n_unique() == 1:
        return "has the same value in every row"
    if len(column) >= FEW_ROWS and numbers_the_rows(column):
        return "numbers the rows, as an identifier does"
    is_whole = column.dtype.is_integer() and column.null_count() == 0
    if len(column) >= FEW_ROWS and is_whole and column.is_sorted() and column.is_unique().all():
        span = int(column[-1]) - int(column[0])
        if span <= _MAX_STEP * len(column):  # timestamps in milliseconds have larger steps
            return "grows from row to row, as an identifier does"
    return identifier(column)


def _split_lines(frame: pl.DataFrame, split: str | None) -> list[str]:
    if split is None:
        note = "fractions of the rows, drawn by the seed"
        lines = [f"split = {{ val = 0.15, test = 0.15, seed = 0 }}  # {note}"]
        if frame.height <= _SMALL_TABLE:
            lines += [
                "# So few validation rows favor lucky trials. This takes five times as long, and",
                "# validates on every row: split = { folds = 5, test = 0.15, seed = 0 }",
            ]
        return lines
    counts = frame[split].value_counts(sort=True).rows()
    note = ", ".join(f"{count:,} {value}" for value, count in counts)
    return [f"split = {{ column = {_toml(split)} }}  # {note}"]


def _drop_lines(dropped: dict[str, str]) -> list[str]:
    reasons = [f"# {format_value(name)} {why}." for name, why in dropped.items()]
    return [*reasons, f"drop = {_array(dropped)}"]


def _positive_lines(target: pl.Series, task: Task, data: DataConfig) -> list[str]:
    if task != "binary":
        return []
    other, positive = ordered_classes(target, task, data)
    share = int((text_of(target) == positive).sum()) / len(target)
    why = (
        f"the rarer class, {share:.1%} of the rows"
        if share < 0.5
        else "the classes are equally frequent"
    )
    return [f"positive = {_toml(positive)}  # {why}; the other is {_toml(other)}"]


def _feature_lines(table: Table, names: list[str]) -> list[str]:
    lines: dict[Kind, list[str]] = {"number": [], "date": [], "category": []}
    for column in table.frame[names].get_columns():
        kind = table.readers[column.name].kind
        what = {"number": "numbers", "date": "dates"}.get(kind)
        if what is None:
            what = f"{column.drop_nulls().n_unique():,} categories"
        missing = f", {column.null_count():,} missing" if column.null_count() else ""
        lines[kind].append(f"#   {format_value(column.name)}: {what}{missing}")
    dates = f", {len(lines['date'])} date" if lines["date"] else ""
    counted = f"{len(lines['number'])} numeric{dates} and {len(lines['category'])} categorical"
    return [
        f"# {counted} columns remain.",
        *(line for own in lines.values() for line in own),
        "# List a column here to read it as another kind:",
        "numeric = []",
        "categorical = []",
    ]


def _why(target: pl.Series, task: Task) -> str:
    """The property of the target's values that determines the task."""
    if task == "regression":
        numbers = target.to_numpy()
        return f"numbers from {numbers.min():g} to {numbers.max():g}"
    labels = class_labels(target)
    listed = ", ".join(format_value(label) for label in labels[:5]) + (
        ", ..." if labels[5:] else ""
    )
    kind = "text" if target.dtype == pl.String else "whole numbers"
    return f"{kind} of {len(labels)} values: {listed}"


def _metric_lines(target: pl.Series, task: Task) -> list[str]:
    metric: MetricName = "rmse" if task == "regression" else "accuracy"
    note = ""
    if task == "binary":
        share = min(target.value_counts()["count"].to_list()) / len(target)
        note = f"; the rarer class has {share:.0%} of the rows"
        metric = "roc_auc" if share < _RARE else metric
    others = [
        name
        for name, known in METRICS.items()
        if task in known.tasks and not known.parameter and name != metric
    ]
    return [f"metric = {_toml(metric)}  # or {', '.join(others)}{note}"]


def suited_batch_size(n_rows: int) -> int:
    """Batch size for a table with this number of rows."""
    suited = (size for limit, size in _BATCH_SIZES.items() if n_rows <= limit)
    return next(suited, _LARGE_BATCH)


def _name(source: str) -> str:
    """A study name made from the table's file name: letters, digits and dashes."""
    stem = PurePosixPath(urlsplit(source).path).name.split(".")[0]
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-").lower()[:100] or "study"


def _toml(value: str) -> str:
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _array(values: Iterable[str]) -> str:
    return f"[{', '.join(_toml(value) for value in values)}]"
