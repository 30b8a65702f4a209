"""Studies and models of the first format of tables: they open, go on, and predict as they did.

`make_format_1.py`, run by the hpo of that format, made the files under
`tests/earlier_versions/studies/format_1`.
"""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from hpo import load_model
from hpo.data.table import Table
from hpo.models.ensemble import Ensemble
from hpo.models.model import Model
from hpo.storage.engine import open_storage
from hpo.study.catalog import find
from hpo.study.row import STUDY_FORMAT
from tests.earlier_versions.studies.make_format_1 import write_study
from tests.support.command_line import hpo
from tests.support.paths import EARLIER_VERSIONS

STORED = EARLIER_VERSIONS / "studies/format_1"
NAMES = ("binary", "multiclass", "regression")
KINDS = ("trial", "ensemble")
ROWS = {"csv": lambda path: pl.read_csv(path, infer_schema=False), "parquet": pl.read_parquet}


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the old storage and its artifacts as the current one."""
    with closing(sqlite3.connect(tmp_path / "hpo.db")) as connection:
        connection.executescript((STORED / "storage.sql").read_text())
    shutil.copytree(STORED / "artifacts", tmp_path / "hpo-artifacts")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def done(*arguments: object) -> str:
    """What a command that succeeds prints."""
    outcome = hpo(*arguments)
    assert outcome.code == 0, outcome.err
    return outcome.out


def then(name: str, kind: str, end: str) -> pl.DataFrame:
    """What the code of then predicted; classes are text."""
    text = {} if name == "regression" else {"prediction": pl.String}
    return pl.read_csv(STORED / name / kind / f"of_{end}.csv", schema_overrides=text)


def assert_alike(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert_frame_equal(found, expected, check_dtypes=False, rel_tol=1e-6, abs_tol=1e-6)


@pytest.mark.parametrize("end", ROWS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_model_predicts_what_it_did(name: str, kind: str, end: str) -> None:
    model, expected = load_model(STORED / name / kind), then(name, kind, end)
    rows = ROWS[end](STORED / name / f"rows.{end}")
    assert_alike(model.predict(rows), expected)
    for place in range(len(rows)):
        assert_alike(model.predict(rows[place : place + 1]), expected[place : place + 1])


@pytest.mark.parametrize("end", ROWS)
@pytest.mark.parametrize("name", NAMES)
def test_the_command_predicts_what_it_did(name: str, end: str, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done("predict", STORED / name / "trial", STORED / name / f"rows.{end}", "--out", out)
    text = {} if name == "regression" else {"prediction": pl.String}
    assert_alike(pl.read_csv(out, schema_overrides=text), then(name, "trial", end))


def test_labels_are_text_as_they_were() -> None:
    model = load_model(STORED / "multiclass" / "trial")
    assert model.predict({"x": [1.5], "kind": ["a"]})["prediction"].dtype == pl.String
    assert model.schema.classes == ("10", "20", "300")


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_table_keeps_its_fingerprint(name: str, inside: Path) -> None:
    for path in (inside / "hpo-artifacts" / "tables").iterdir():
        assert Table.read(path).fingerprint() == path.stem
        assert Table.read(path).format == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_commands_show_an_old_study(name: str, inside: Path) -> None:
    status = json.loads(done("status", name, "--json"))
    assert (
        status["trials"] == {"COMPLETE": 2, "WAITING": 1} if name == "binary" else {"COMPLETE": 2}
    )
    assert status["notes"] == []
    assert status["objective"]["positive"] is None
    assert f"trial {status['best']['number']}" in done("status", name)
    best = json.loads(done("leaderboard", name, "--json"))[0]
    assert best["number"] == status["best"]["number"]
    assert "COMPLETE" in done("trial", name, best["number"])
    assert name in done("studies")
    done("report", name, "--out", "report.html")
    assert "Leaderboard" in Path("report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_export_is_of_the_old_format_and_proves_itself(name: str, inside: Path) -> None:
    folders = done("export", name, "--ensemble", 2, "--torch-export", "--out", "out").split()
    for kind, folder in zip(KINDS, folders, strict=True):
        schema = json.loads(Path(folder, "schema.json").read_text(encoding="utf-8"))
        old = json.loads((STORED / name / kind / "schema.json").read_text(encoding="utf-8"))
        assert {key: schema[key] for key in old if key in ("format", "classes", "categorical")} == {
            key: old[key] for key in ("format", "classes", "categorical")
        }
        assert set(schema["proof"]["largest"]) == {"model.safetensors", "model.onnx", "model.pt2"}
        model = load_model(folder)
        assert isinstance(model, Ensemble if kind == "ensemble" else Model)
        for end, read in ROWS.items():
            predicted = model.predict(read(STORED / name / f"rows.{end}"))
            if kind == "trial":  # ensembles are selected in another way now
                assert_alike(predicted, then(name, kind, end))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_worker_goes_on_with_an_old_study(name: str, inside: Path) -> None:
    """The WAITING trial from its checkpoint, and new ones, on the stored table."""
    done("worker", name, "--workers", 1)
    rows = json.loads(done("leaderboard", name, "--json"))
    assert len(rows) == (4 if name == "binary" else 3)
    newest = max(row["number"] for row in rows)
    if name == "binary":
        (begun,) = (row for row in rows if row["number"] == 2)
        attrs = begun["user_attrs"]
        assert (attrs["attempt"], attrs["n_epochs"]) == (2, 200)
        assert attrs["earlier_attempts"][0]["ended"] == "released"
    done("export", name, "--trial", newest, "--out", "out")
    model = load_model(f"out/trial-{newest:05d}")
    assert model.schema.format == 1
    assert model.metrics == pytest.approx(
        json.loads(Path(f"out/trial-{newest:05d}/metrics.json").read_text())["validation"]
    )
    of_csv = model.predict(ROWS["csv"](STORED / name / "rows.csv"))
    of_parquet = model.predict(ROWS["parquet"](STORED / name / "rows.parquet"))
    if name != "regression":  # in its CSV file, times are written otherwise
        assert_alike(of_csv, of_parquet)
    assert np.isfinite(of_parquet.select(pl.col(pl.Float64, pl.Float32)).to_numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_file_opens_an_old_study(name: str, inside: Path) -> None:
    write_study(name)
    assert done("create", f"{name}.toml").strip() == name
    assert json.loads(done("status", name, "--json"))["trials"]["COMPLETE"] == 2
    assert done("create", f"{name}.toml", "--n-trials", 9).strip() == name
    assert json.loads(done("status", name, "--json"))["budget"]["n_trials"] == 9


def test_an_old_study_knows_another_table_and_another_class(inside: Path) -> None:
    write_study("binary")
    text = Path("binary.toml").read_text()
    Path("binary.toml").write_text(text.replace("[data]", '[data]\npositive = "churned"'))
    outcome = hpo("create", "binary.toml")
    assert outcome.code == 2
    assert 'data.positive: null -> "churned"' in outcome.err
    assert "content has changed" not in outcome.err
    Path("binary.toml").write_text(text)
    table = Path("binary.csv").read_text()
    Path("binary.csv").write_text(table.replace("red", "blue"))
    assert "the table's content has changed" in hpo("create", "binary.toml").err


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_old_trial_is_trained_again(name: str, inside: Path) -> None:
    """By its exported configuration, on the table at its source."""
    write_study(name)
    done("export", name, "--trial", 1, "--out", "out")
    config = Path("out/trial-00001/config.toml")
    text = config.read_text().replace("/tmp/tables/", f"{inside}/")
    config.write_text(text)
    done("train", config, "--out", "again")
    schema = json.loads(Path("again/schema.json").read_text())
    # Of the one with classes of whole numbers, both readings give the same table.
    assert schema["format"] == (2 if name == "multiclass" else 1)


NOTED = """
name = "noted"
search_space = {model = {width = {type = "int", low = 4, high = 8}}}
[data]
source = "binary.csv"
target = "left"
[objective]
metric = "f1"
[budget]
n_trials = 1
"""


def kept(url: str, name: str) -> tuple[int | None, tuple[str, ...], str | None]:
    """What of a study its table's reading hangs on: format, notes, definition."""
    with closing(open_storage(url, create=False)) as storage:
        row = find(storage, name)
        return row.format, row.notes, row.definition


@pytest.mark.slow
def test_copies_and_upgrades_keep_formats_and_notes(inside: Path) -> None:
    write_study("binary")
    Path("noted.toml").write_text(NOTED)
    done("create", "noted.toml")
    here = "sqlite:///hpo.db"
    before = {name: kept(here, name) for name in ("noted", *NAMES)}
    assert before["noted"][0] == STUDY_FORMAT
    assert 'the positive class is "churned"' in str(before["noted"][1])
    assert before["binary"][:2] == (1, ())
    assert "nothing to do" in done("storage", "upgrade", "--storage", here)
    done("storage", "copy", here, "sqlite:///copy.db", "--to-artifacts", "copies")
    done("storage", "copy", here, "sqlite:///there.db")
    for url in ("sqlite:///copy.db", "sqlite:///there.db"):
        assert {name: kept(url, name) for name in before} == before
    done(
        "export", "binary", "--storage", "sqlite:///copy.db", "--artifacts", "copies", "--out", "o"
    )
    (folder,) = Path("o").glob("trial-*")
    expected = then("binary", "trial", "csv")
    assert_alike(load_model(folder).predict(ROWS["csv"](STORED / "binary" / "rows.csv")), expected)


def test_a_study_of_this_format_is_too_new_for_the_first(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study("binary")
    Path("noted.toml").write_text(NOTED)
    done("create", "noted.toml")
    monkeypatch.setattr("hpo.study.row.STUDY_FORMAT", 1)
    assert "was made by hpo" in (refused := hpo("status", "noted")).err
    assert refused.code == 2
    assert hpo("status", "binary").code == 0
