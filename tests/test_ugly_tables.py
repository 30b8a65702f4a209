"""Tables of any ugliness are read, trained on and predicted on, or refused in a sentence."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from hpo.config.errors import HpoError
from hpo.data.notes import prediction_notes
from hpo.data.sources import read_raw
from hpo.data.table import Table, read_table
from hpo.models.experiment import Experiment
from hpo.models.model import Model
from tests.support import models, ugly_tables

SENTENCE = re.compile(r"(the table|(/\S*/)?t\.(csv|tsv|parquet)(\.gz)?): .+")
"""One line that begins with the table's name."""

N_TABLES = 800


def outcome(work: Callable[[], Any]) -> Any:
    """What it gives, or the error in its place, which must be a sentence that names the table."""
    try:
        return work()
    except HpoError as error:
        text = str(error)
        assert SENTENCE.fullmatch(text), text
        return error


def try_one(seed: int, folder: Path) -> str:
    """Draw a table, take it as far as it goes, and say how far that was."""
    random = np.random.default_rng(seed)
    source = ugly_tables.write(random, folder)
    raw = outcome(lambda: read_raw(source, folder))
    if isinstance(raw, HpoError):
        return "not read"
    data = replace(ugly_tables.study(random, raw.frame.columns), source=source)
    table = outcome(lambda: read_table(data, folder))
    if isinstance(table, HpoError):
        return "not typed"
    made = Experiment(table, replace(data, fingerprint=table.fingerprint()))
    if isinstance(outcome(lambda: made.dataset), HpoError):
        return "not trained on"
    model = models.model(made, "quantile" if seed % 2 else "standard", depth=1)
    predicts_its_own(model, table, source, folder)
    others = ugly_tables.memory_table(random, list(model.schema.columns))
    predicted = outcome(lambda: model.predict(others))
    if isinstance(predicted, pl.DataFrame):
        assert_finite(predicted)
    again = ugly_tables.write(random, folder)
    raw = outcome(lambda: read_raw(again, folder, may_be_empty=True))
    if not isinstance(raw, HpoError):
        given = {column.name: column for column in raw.frame.get_columns()}
        frame = pl.DataFrame(dict.fromkeys(model.schema.columns, raw.frame.to_series()) | given)
        if isinstance(predicted := outcome(lambda: model.predict(frame)), pl.DataFrame):
            assert_finite(predicted)
            prediction_notes(model.schema, frame)
    return "predicted on"


def predicts_its_own(model: Model, table: Table, source: str, folder: Path) -> None:
    """The rows that it was made of give the same predictions raw as typed."""
    raw = read_raw(source, folder)
    predicted = model.predict(raw.frame)
    assert_finite(predicted)
    assert predicted.equals(model.predict(table.frame))
    prediction_notes(model.schema, raw.frame)


def assert_finite(predicted: pl.DataFrame) -> None:
    for column in predicted.get_columns():
        if column.dtype.is_float():
            assert column.is_finite().all(), predicted


@pytest.mark.slow
def test_ugly_tables_are_taken_or_refused_in_a_sentence(tmp_path: Path) -> None:
    ends = Counter(try_one(seed, tmp_path) for seed in range(N_TABLES))
    assert ends["predicted on"] > N_TABLES // 10
