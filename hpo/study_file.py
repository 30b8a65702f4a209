"""A first study file for a table, written from what the table holds.

Every guess stands beside its reason in a comment, so that a person can overrule it. Does not know:
storage, training.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import polars as pl
import tomli_w

from hpo.data.schema import class_labels, resolve_task, text_of
from hpo.data.sources import is_usable, read_table
from hpo.data.split import PARTS
from hpo.parsing import shown
from hpo.trial import METRICS, DataConfig, MetricName, Task

SPLIT_NAMES = ("split", "fold", "subset", "partition")
RARE = 0.2
"""Below this share of the rarer class, accuracy says little."""

BATCH_SIZES = {1_000: 32, 10_000: 128, 100_000: 256}
"""Rows of the table up to which a batch size suits; `LARGE_BATCH` beyond."""

LARGE_BATCH = 1024
FEW_ROWS = 2_000
"""Below so many, small networks do."""

FEW_IDS = 20
"""In fewer rows, ascending whole numbers and distinct texts may well be chance."""


def draft(table_source: str, target: str, base: Path) -> str:
    """Write the study file of a table.

    Args:
        table_source: as `data.source` will name it.
        target: the column to predict.
        base: the folder that the file will stand in.

    Returns:
        The text of a study file that loads as it is.

    Raises:
        DataError: the table cannot be read, or the target cannot be predicted.
    """
    frame = read_table(table_source, base)
    task = resolve_task(frame, DataConfig(source=table_source, target=target))
    split = _split_column(frame, target)
    features = [name for name in frame.columns if name not in (target, split)]
    dropped = {name: why for name in features if (why := _useless(frame[name]))}
    if len(dropped) == len(features):
        dropped = {name: why for name, why in dropped.items() if not is_usable(frame[name])}
    features = [name for name in features if name not in dropped]
    lines = [
        f"# Drawn up from a table of {frame.height:,} rows and {frame.width:,} columns.",
        "# What was guessed says why; change what you know better.",
        f"name = {_toml(_name(table_source))}",
        _space_line(frame.height),
        "",
        "[data]",
        f"source = {_toml(table_source)}  # relative to this file",
        f"target = {_toml(target)}",
        f"task = {_toml(task)}  # {_why(frame[target], task)}",
        *_split_lines(frame, split),
        *_drop_lines(dropped),
        *_feature_lines(frame[features]),
        "",
        "[objective]",
        *_metric_lines(frame[target], task),
        "",
        "[training]",
        "max_epochs = 200",
        "patience = 16  # epochs without a better validation metric until a trial ends",
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


def _space_line(n_rows: int) -> str:
    name, other = ("mlp_small", "mlp") if n_rows < FEW_ROWS else ("mlp", "mlp_small")
    return f"search_space = {_toml(name)}  # or {_toml(other)}, a path, or an inline table"


def _split_column(frame: pl.DataFrame, target: str) -> str | None:
    """The column that says which rows train, validate and test, if there is one."""
    for name in frame.columns:
        if name.lower() in SPLIT_NAMES and name != target and is_usable(frame[name]):
            said = set(text_of(frame[name]))
            if said <= set(PARTS) and {PARTS[value] for value in said} == set(PARTS.values()):
                return name
    return None


def _useless(column: pl.Series) -> str:
    """Why a column is proposed for `drop`; empty where it is not."""
    if not is_usable(column):
        return f"holds {column.dtype}, neither numbers nor text"
    n_rows, n_values = len(column), column.n_unique()
    if n_values == 1:
        return "has the same value in every row"
    if n_values < n_rows or n_rows < FEW_IDS:
        return ""
    if column.dtype == pl.String:
        return "has another text in every row, as an identifier has"
    if column.dtype.is_integer() and column.null_count() == 0 and column.is_sorted():
        return "counts the rows, as an identifier does"
    return ""


def _split_lines(frame: pl.DataFrame, split: str | None) -> list[str]:
    if split is None:
        note = "shares of the rows, drawn by the seed"
        return [f"split = {{ val = 0.15, test = 0.15, seed = 0 }}  # {note}"]
    counts = frame[split].value_counts(sort=True).rows()
    note = ", ".join(f"{count:,} {value}" for value, count in counts)
    return [f"split = {{ column = {_toml(split)} }}  # {note}"]


def _drop_lines(dropped: dict[str, str]) -> list[str]:
    reasons = [f"# {shown(name)} {why}." for name, why in dropped.items()]
    return [*reasons, f"drop = {_array(dropped)}"]


def _feature_lines(features: pl.DataFrame) -> list[str]:
    text = [column for column in features if column.dtype == pl.String]
    numbers = [column for column in features if column.dtype != pl.String]
    lines = [f"# {len(numbers)} numeric and {len(text)} categorical columns remain."]
    lines += [f"#   {shown(column.name)}: numbers{_missing(column)}" for column in numbers]
    for column in text:
        n_values = column.drop_nulls().n_unique()
        lines.append(f"#   {shown(column.name)}: {n_values:,} categories{_missing(column)}")
    lines.append("# Name a column here to have it taken otherwise:")
    return [*lines, "numeric = []", "categorical = []"]


def _missing(column: pl.Series) -> str:
    return f", {column.null_count():,} missing" if column.null_count() else ""


def _why(target: pl.Series, task: Task) -> str:
    """What in the target's values led to the task."""
    if task == "regression":
        numbers = target.to_numpy()
        return f"numbers from {numbers.min():g} to {numbers.max():g}"
    labels = class_labels(target)
    listed = ", ".join(shown(label) for label in labels[:5]) + (", ..." if labels[5:] else "")
    kind = "text" if target.dtype == pl.String else "whole numbers"
    return f"{kind} of {len(labels)} values: {listed}"


def _metric_lines(target: pl.Series, task: Task) -> list[str]:
    metric: MetricName = "rmse" if task == "regression" else "accuracy"
    note = ""
    if task == "binary":
        share = min(target.value_counts()["count"].to_list()) / len(target)
        note = f"; the rarer class has {share:.0%} of the rows"
        metric = "roc_auc" if share < RARE else metric
    others = [name for name, known in METRICS.items() if task in known.tasks and name != metric]
    return [f"metric = {_toml(metric)}  # or {', '.join(others)}{note}"]


def suited_batch_size(n_rows: int) -> int:
    """The batch size that suits a table of so many rows."""
    suited = (size for limit, size in BATCH_SIZES.items() if n_rows <= limit)
    return next(suited, LARGE_BATCH)


def _name(source: str) -> str:
    """A study's name from that of its table: letters, digits and dashes."""
    stem = PurePosixPath(urlsplit(source).path).name.split(".")[0]
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-").lower()[:100] or "study"


def _toml(value: str) -> str:
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _array(values: Iterable[str]) -> str:
    return f"[{', '.join(_toml(value) for value in values)}]"
