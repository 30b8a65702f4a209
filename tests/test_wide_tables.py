"""Work grows with a table's columns, not with their square: calls are counted, not timed."""

import gc
import sys
import threading
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import polars
import pytest

import hpo
from hpo.data.notes import prediction_notes
from hpo.lifecycle.creation import create_from_file
from hpo.lifecycle.draft import draft
from hpo.results.export import export
from hpo.study.artifacts import StudyArtifacts
from hpo.training.single import SingleTrainer
from tests.support.workers import make_worker

pytestmark = pytest.mark.slow

N_ROWS, N_COLUMNS = 40, 80
STUDY = """\
name = "wide"
[data]
source = "table.csv"
target = "y"
split = { val = 0.2, test = 0.2, seed = 0 }
drop = [DROPPED]
numeric = [NUMERIC]
[objective]
metric = "log_loss"
[training]
max_epochs = 1
[search_space.model]
depth = 1
width = 4
[search_space.optimizer]
learning_rate = { type = "float", low = 1e-4, high = 1e-2, log = true }
[budget]
n_trials = 1
"""

PER_TABLE = (
    polars.DataFrame.columns.fget.__code__,  # type: ignore[attr-defined]
    polars.DataFrame.get_columns.__code__,
    hpo.data.schema.TableSchema.encode.__code__,
    hpo.data.schema.TableSchema.columns.fget.__code__,  # type: ignore[attr-defined]
    hpo.data.schema.TableSchema.numbers.fget.__code__,  # type: ignore[attr-defined]
    hpo.data.schema.TableSchema.exact.fget.__code__,  # type: ignore[attr-defined]
)
"""What goes through all columns at each call."""


def write_table(folder: Path, n_columns: int) -> None:
    generator = np.random.default_rng(0)
    days = [datetime(2020, 1, 1) + timedelta(days=row) for row in range(N_ROWS)]
    kinds: list[Any] = [
        lambda: generator.normal(size=N_ROWS).round(4),
        lambda: generator.integers(0, 9, N_ROWS),
        lambda: [None, *generator.normal(size=N_ROWS - 1).tolist()],
        lambda: np.array(["red", "blue", "green"])[generator.integers(0, 3, N_ROWS)],
        lambda: [f"{word}{row % 3}" for row, word in enumerate(["V", "W"] * (N_ROWS // 2))],
        lambda: generator.permutation(days).tolist(),
        lambda: [f"{value:.2f} €" for value in generator.uniform(1, 9, N_ROWS)],
        lambda: generator.normal(size=N_ROWS),
    ]
    columns = {f"x{i}": kinds[i % len(kinds)]() for i in range(n_columns)}
    table = polars.DataFrame({**columns, "y": ["yes", "no"] * (N_ROWS // 2)})
    table.write_csv(folder / "table.csv")
    lists = {"DROPPED": range(1, n_columns, 8), "NUMERIC": range(0, n_columns, 8)}
    text = STUDY
    for word, places in lists.items():
        text = text.replace(word, ", ".join(f'"x{place}"' for place in places))
    (folder / "study.toml").write_text(text)


def from_file_to_predictions(folder: Path, n_columns: int) -> None:
    folder.mkdir()
    write_table(folder, n_columns)
    draft("table.csv", "y", folder)
    created = create_from_file(
        folder / "study.toml", f"sqlite:///{folder}/hpo.db", f"{folder}/store"
    )
    study, store = created.study, created.store
    make_worker(study, store, SingleTrainer("cpu"), slots=1).work(threading.Event())
    (exported,) = export(StudyArtifacts(study=study, store=store), folder / "out").folders
    rows = polars.read_csv(folder / "table.csv", infer_schema=False)
    model = hpo.load_model(exported)
    model.predict(rows)
    prediction_notes(model.schema, rows)


def is_of_few_columns(frame: FrameType) -> bool:
    table = frame.f_locals.get("self") if frame.f_code in PER_TABLE else None
    return isinstance(table, polars.DataFrame) and table.width < N_COLUMNS // 8


def count_calls(folder: Path, n_columns: int) -> Counter[CodeType]:
    """Calls by function."""
    calls: Counter[CodeType] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and not is_of_few_columns(frame):
            calls[frame.f_code] += 1

    gc.collect()
    gc.disable()  # what earlier tests left behind calls functions when it goes
    sys.setprofile(count)
    try:
        from_file_to_predictions(folder, n_columns)
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


@pytest.fixture(scope="module")
def counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Counter[CodeType], Counter[CodeType]]:
    """Calls for a table, and for one of twice as many columns."""
    folder = tmp_path_factory.mktemp("wide")
    from_file_to_predictions(folder / "first", 16)  # loads what is loaded once
    return count_calls(folder / "some", N_COLUMNS), count_calls(folder / "twice", 2 * N_COLUMNS)


def test_no_function_is_called_for_each_pair_of_columns(
    counted: tuple[Counter[CodeType], Counter[CodeType]],
) -> None:
    some, twice = counted
    grown = {
        f"{code.co_filename}:{code.co_firstlineno} {code.co_name}": (some[code], n)
        for code, n in twice.items()
        if n > 2 * N_COLUMNS and n > 2.2 * some[code]
    }
    assert not grown


def test_what_goes_through_all_columns_is_not_done_for_each(
    counted: tuple[Counter[CodeType], Counter[CodeType]],
) -> None:
    some, twice = counted
    assert [some[code] for code in PER_TABLE] == [twice[code] for code in PER_TABLE]


def test_an_export_encodes_the_table_the_held_rows_and_the_awkward_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(tmp_path, 16)
    places = f"sqlite:///{tmp_path}/hpo.db", f"{tmp_path}/store"
    created = create_from_file(tmp_path / "study.toml", *places)
    study, store = created.study, created.store
    make_worker(study, store, SingleTrainer("cpu"), slots=1).work(threading.Event())
    encode, heights = hpo.data.schema.TableSchema.encode, []

    def counting(self: Any, frame: polars.DataFrame, *where: str) -> Any:
        heights.append(frame.height)
        return encode(self, frame, *where)

    monkeypatch.setattr(hpo.data.schema.TableSchema, "encode", counting)
    export(StudyArtifacts(study=study, store=store), tmp_path / "out")
    assert len(heights) == 3
    assert heights[0] == N_ROWS
    assert heights[1] < N_ROWS < heights[2]
