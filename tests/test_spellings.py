"""A value is one input, whatever file, type or company it comes in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

from hpo.data.dataset import load_dataset
from hpo.data.schema import TableSchema
from hpo.data.sources import RawTable, as_frame, read_raw
from hpo.data.table import read_table, typed_table
from hpo.models.experiment import Experiment
from hpo.models.model import Model
from hpo.models.onnx import described_inputs, to_onnx
from tests.support import models, spellings
from tests.support.command_line import hpo
from tests.support.spellings import N_ROWS, Drawn

ALL, ONE = range(N_ROWS), range(17, 18)
DRAWING = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # to shrink a table of 40 rows takes minutes
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def trained(drawn: Drawn, folder: Path) -> Model:
    """A model of the table as it is written, with random weights."""
    source = spellings.write(folder, "t.csv", spellings.content(drawn, ALL, labels=True))
    data = replace(drawn.data, source=source)
    table = read_table(data, folder)
    made = Experiment(table, replace(data, fingerprint=table.fingerprint()))
    return models.model(made, "quantile", depth=1)


def command(model_dir: Path, file: str) -> np.ndarray:
    """What `hpo predict` gives."""
    done = hpo("predict", model_dir, file)
    assert done.code == 0, done.err
    return pl.read_csv(done.out.encode())[:, 1:].to_numpy()


def direct(model: Model, table: Any) -> np.ndarray:
    return model.predict(table)[:, 1:].to_numpy()


def assert_same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert found.shape == expected.shape, what
    far = np.abs(found - expected).max(axis=1)
    assert far.max() < 1e-6, f"{what}: row {far.argmax()} is off by {far.max():.3g}"


@pytest.mark.slow
@DRAWING
@given(drawn=spellings.tables())
def test_a_value_predicts_the_same_from_every_source_and_alone(drawn: Drawn, folder: Path) -> None:
    model = trained(drawn, folder)
    (folder / "model.safetensors").write_bytes(model.to_bytes())
    session = onnxruntime.InferenceSession(to_onnx(model))
    described = described_inputs(model.schema)
    expected = direct(model, read_raw(str(folder / "t.csv"), folder).frame)
    for rows in (ALL, ONE):
        right = expected[rows.start : rows.stop]
        for name, content in spellings.text_files(drawn, rows).items():
            assert_same(command(folder, spellings.write(folder, name, content)), right, name)
        for frame in spellings.typed_frames(drawn, rows):
            file = spellings.write(folder, "typed.parquet", frame)
            assert_same(command(folder, file), right, f"{frame.schema}")
        for name, table in spellings.in_memory(drawn, rows).items():
            assert_same(direct(model, table), right, f"{name}: {table}")
        table = spellings.pandas_reads(drawn, rows)
        assert_same(direct(model, table), right, f"read by pandas: {table.dtypes}")
        probabilities = session.run(None, spellings.onnx_feeds(drawn, rows, described))[1]
        assert_same(probabilities, right, "model.onnx")


@pytest.mark.slow
@DRAWING
@given(drawn=spellings.tables(is_plain=True))
def test_the_same_table_trains_the_same_from_every_source(drawn: Drawn, folder: Path) -> None:
    labels = pl.Series("y", drawn.labels)
    names = {
        name: spellings.write(folder, name, content)
        for name, content in spellings.text_files(drawn, ALL, labels=True).items()
    }
    for place, frame in enumerate(spellings.typed_frames(drawn, ALL)):
        name = f"{place}.parquet"
        names[name] = spellings.write(folder, name, frame.with_columns(labels))
    tables = {
        name: read_table(replace(drawn.data, source=source), folder)
        for name, source in names.items()
    }
    for name, made in spellings.in_memory(drawn, ALL).items():
        raw = RawTable(frame=as_frame(made).with_columns(labels), is_text=False, where=name)
        tables[name] = typed_table(raw, drawn.data)
    first = tables["comma.csv"]
    dataset = load_dataset(first, drawn.data)
    for name, table in tables.items():
        assert table.fingerprint() == first.fingerprint(), f"{name}: {table.frame.schema}"
        other = load_dataset(table, drawn.data)
        assert without_reading(other.schema) == without_reading(dataset.schema), name
        assert torch.equal(other.x_cat, dataset.x_cat), name
        assert torch.allclose(other.x_num, dataset.x_num, rtol=0, atol=0, equal_nan=True), name


def without_reading(schema: TableSchema) -> TableSchema:
    """The schema but for how cells are written, in which sources differ."""
    return replace(schema, readers={}, missing=(), notes=())
