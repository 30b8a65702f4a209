"""The notes and files that the dashboard adds to Optuna's storage."""

import gzip
import json
import re
import tomllib
from collections.abc import Iterator
from urllib.request import Request, urlopen
from xml.etree import ElementTree

import optuna
import pytest

from hpo.dashboard import application as dashboard_application
from hpo.dashboard.application import ServerSettings, application
from hpo.dashboard.view import DashboardStorage
from hpo.files.store import ArtifactStore, trial_path
from hpo.storage.engine import Storage, open_storage
from hpo.study.study import Study
from tests.support.dashboard import WEIGHTS, ask, detail, make_study, served, store_at


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> Iterator[Storage]:
    opened = open_storage(f"sqlite:///{tmp_path_factory.mktemp('view') / 'hpo.db'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ArtifactStore:
    return store_at(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def study(storage, store) -> Study:
    return make_study(storage, store)


@pytest.fixture(scope="module")
def port(storage, store, study) -> Iterator[int]:
    with served(application(DashboardStorage(storage, store), ServerSettings())) as port:
        yield port


def write_note(port: int, body: str, version: int) -> int:
    text = json.dumps({"body": body, "version": version})
    response = ask(port, "/api/studies/1/note", "PUT", text, Content_Type="application/json")[0]
    return response.status


@pytest.mark.slow
def test_a_study_has_a_note_of_its_definition_data_budget_and_progress(port, study):
    note = detail(port)["note"]["body"]
    assert re.search(r"\| trials \| [34] of 4: 3 complete", note)
    assert "| best | 0.25 (trial 0) |" in note
    assert f"| data fingerprint | `{'f' * 64}` |" in note
    toml = note.partition("toml\n")[2].rpartition("~~~~~~")[0]
    tree = tomllib.loads(toml)
    assert tree["data"].pop("source") == "https://me:***@data.example/t.csv"
    expected = study.definition.to_tree()
    del expected["data"]["source"]
    assert tree == expected


def test_the_note_follows_the_study(port, study):
    before = detail(port)["note"]
    study.enqueue({"model.depth": 1})
    after = detail(port)["note"]
    assert "4 of 4: 3 complete, 1 waiting" in after["body"]
    assert before["version"] == after["version"]


def test_a_persons_note_stays_until_it_is_emptied(port, storage):
    assert write_note(port, "mine", 1) == 204
    assert detail(port)["note"] == {"version": 1, "body": "mine"}
    assert write_note(port, "of a page that knows no version 1", 1) == 409
    assert write_note(port, "", 2) == 204
    assert "data fingerprint" in detail(port)["note"]["body"]
    rows = storage.plain.get_study_system_attrs(1)
    assert not any("fingerprint" in str(rows[key]) for key in rows if "note" in key)


def test_studies_of_other_programs_have_no_note(port, storage):
    number = optuna.create_study(storage=storage.plain)._study_id
    assert json.loads(ask(port, f"/api/studies/{number}")[1])["note"]["body"] == ""


def test_the_axes_and_the_attributes_are_named_by_metrics(port):
    shown = detail(port)
    assert shown["objective_names"] == ["rmse"]
    assert {"key": "metrics.r2", "sortable": True} in shown["union_user_attrs"]


def files(port: int, number: int) -> dict[str, str]:
    """Return the paths of a trial's files by their name."""
    trial = detail(port)["trials"][number]
    root = f"/artifacts/{trial['study_id']}/{trial['trial_id']}"
    return {
        file["filename"].removeprefix(f"trial-{number:05d}-"): f"{root}/{file['artifact_id']}"
        for file in trial["artifacts"]
    }


def test_a_trial_has_its_configuration_curve_and_weights(port, study):
    found = files(port, 2)
    assert set(found) == {"config.toml", "learning-curve.svg", "model.safetensors"}
    config = tomllib.loads(ask(port, found["config.toml"])[1])
    params = study.trials()[2].params
    assert config["model"]["depth"] == params["model.depth"]
    assert config["training"]["precision"] == "bfloat16"
    assert config["data"]["source"] == "https://me:***@data.example/t.csv"
    picture = ElementTree.fromstring(ask(port, found["learning-curve.svg"])[1])
    line = picture.find("{*}polyline")
    assert len(line.get("points").split()) == 4
    assert ask(port, found["model.safetensors"])[1] == WEIGHTS.decode()


def test_files_are_saved_and_never_a_page(port):
    for what, address in files(port, 0).items():
        headers = ask(port, address)[0].headers
        assert headers["Content-Disposition"] == f'attachment; filename="trial-00000-{what}"'
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
        kind = "image/svg+xml" if what.endswith(".svg") else "application/octet-stream"
        assert headers.get_all("Content-Type") == [kind]


def test_no_other_file_is_given_out(port):
    others = ["1/1/2-2", "1/2/2-1", "2/1/2-1", "1/1/3-1", "1/99/2-63", "1/1/", "1/2-1", "../hpo.db"]
    for path in others:
        response, text = ask(port, f"/artifacts/{path}")
        assert (response.status, text) == (404, "There is no such file.\n"), path


def test_missing_weights_get_a_sentence(port, store, study):
    store.delete(trial_path(study.uuid, 1, 1, "model.safetensors"))
    response, text = ask(port, files(port, 1)["model.safetensors"])
    assert response.status == 503
    assert text.startswith("artifact studies/")


def test_without_the_studys_store_there_are_no_weights(storage, study, tmp_path):
    for other in (None, store_at(tmp_path / "other")):
        with served(application(DashboardStorage(storage, other), ServerSettings())) as port:
            assert set(files(port, 0)) == {"config.toml", "learning-curve.svg"}


def test_large_answers_come_compressed_to_who_takes_them_so(port, monkeypatch):
    monkeypatch.setattr(dashboard_application, "MIN_BYTES", 1000)
    plain = detail(port)
    address = f"http://127.0.0.1:{port}/api/studies/1"
    with urlopen(Request(address, headers={"Accept-Encoding": "gzip"})) as packed:
        assert packed.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(packed.read())) == plain
