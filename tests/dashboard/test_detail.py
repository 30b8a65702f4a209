"""The JSON of a study's page: as optuna-dashboard makes it, and made once."""

import gzip
import json
from collections.abc import Iterator
from operator import itemgetter
from urllib.request import Request, urlopen

import optuna_dashboard
import pytest

from hpo.config.trial import Measurement
from hpo.dashboard import bundle, detail, view
from hpo.dashboard.application import ServerSettings, application
from hpo.dashboard.view import DashboardStorage
from hpo.storage.engine import Storage
from hpo.study.steering import retry
from hpo.study.study import Study
from tests.support.dashboard import ME, ask, make_study, served, store_at

PATH = "/api/studies/1"


@pytest.fixture
def study(storage: Storage, tmp_path) -> Study:
    return make_study(storage, store_at(tmp_path), n_trials=6)


@pytest.fixture
def port(storage: Storage, study: Study, tmp_path) -> Iterator[int]:
    seen = DashboardStorage(storage, store_at(tmp_path))
    with served(application(seen, ServerSettings())) as port:
        yield port


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the trials whose JSON was made."""
    numbers: list[int] = []
    serialize = detail.serialize_frozen_trial

    def note(study_id, trial, attrs):
        numbers.append(trial.number)
        return serialize(study_id, trial, attrs)

    monkeypatch.setattr(detail, "serialize_frozen_trial", note)
    return numbers


def get(port: int, query: str = "") -> dict:
    response, text = ask(port, PATH + query)
    assert response.status == 200, text
    return json.loads(text)


def test_it_is_what_optuna_dashboard_makes_of_the_study(port, study, storage, tmp_path):
    claim = study.ask(ME, 60.0)
    study.report({claim: [Measurement(step=1, value=0.5)]})
    plain = optuna_dashboard.wsgi(DashboardStorage(storage, store_at(tmp_path)))
    for query in ("", "?after=0", "?after=4", "?after=99"):
        with served(plain) as other:
            ours, theirs = get(port, query), get(other, query)
        assert ours.pop("note").keys() == theirs.pop("note").keys()  # it says how long it took
        theirs["union_user_attrs"].sort(key=itemgetter("key"))
        assert ours == theirs, query


def test_finished_trials_are_made_once(port, study, made):
    get(port)
    assert made == [*range(6)]
    get(port)
    get(port, "?after=3")
    assert made == [*range(6)]
    claim = study.ask(ME, 60.0)
    assert get(port)["trials"][6]["state"] == "Running"
    study.finish(claim, "COMPLETE", 0.1, {})
    assert get(port)["trials"][6]["state"] == "Complete"
    assert made[6:] == [6, 6]


def test_what_changes_is_made_again(port, study, storage, made):
    get(port)
    body = json.dumps({"body": "look", "version": 1})
    status = ask(port, f"{PATH}/3/note", "PUT", body, Content_Type="application/json")[0].status
    assert status == 204
    assert get(port)["trials"][2]["note"]["body"] == "look"
    assert made == [*range(6)] * 2
    made.clear()
    claim = study.ask(ME, 60.0)
    study.finish(claim, "FAIL", None, {"reason": "hot"})
    assert get(port)["trials"][6]["state"] == "Fail"
    retry(study, 6)
    assert get(port)["trials"][6]["state"] == "Waiting"
    assert made == [6, 6]


def test_a_deleted_study_is_not_found(port, study, storage):
    get(port)
    storage.plain.delete_study(study.id)
    assert ask(port, PATH)[0].status == 404


def test_a_new_study_with_the_id_of_a_deleted_one_has_only_its_own(port, study, storage, tmp_path):
    assert get(port)["union_search_space"]
    storage.plain.delete_study(study.id)
    assert make_study(storage, store_at(tmp_path), n_trials=0).id == study.id
    found = get(port)
    assert found["union_search_space"] == found["union_user_attrs"] == []


def test_the_note_is_made_once_for_all_trials(port, monkeypatch):
    notes = []
    monkeypatch.setattr(view, "study_note", lambda *given: notes.append(given) or "a note")
    assert get(port)["note"]["body"] == "a note"
    assert len(notes) == 1


def test_the_answer_is_compressed_once_until_it_changes(port, study, monkeypatch):
    packed: list[tuple] = []
    compress = gzip.compress
    monkeypatch.setattr(gzip, "compress", lambda *given: packed.append(given) or compress(*given))
    get(port)
    assert not packed
    asked = Request(f"http://127.0.0.1:{port}{PATH}", headers={"Accept-Encoding": "gzip"})
    for _ in range(2):
        with urlopen(asked) as answer:
            assert json.loads(gzip.decompress(answer.read())) == get(port)
    assert len(packed) == 1
    study.finish(study.ask(ME, 60.0), "COMPLETE", 0.01, {})
    with urlopen(asked) as answer:
        assert json.loads(gzip.decompress(answer.read()))["trials"][6]["values"] == [0.01]


def test_long_studies_have_no_curves_on_their_page(port, study, monkeypatch):
    assert get(port)["has_intermediate_values"]
    monkeypatch.setattr(detail, "MAX_CURVES", 5)
    found = get(port)
    assert not found["has_intermediate_values"]
    assert [trial["intermediate_values"] for trial in found["trials"]] == [[]] * 6
    params = [param for trial in found["trials"] for param in trial["params"]]
    assert params
    assert not any("distribution" in param for param in params)
    assert all("distribution" in param for param in found["union_search_space"])
    (curve,) = (f for f in found["trials"][1]["artifacts"] if f["filename"].endswith(".svg"))
    assert ask(port, f"/artifacts/1/2/{curve['artifact_id']}")[1].count("<polyline") == 1


def test_the_timeline_draws_the_trials_that_it_shows(port):
    address = f"http://127.0.0.1:{port}/static/bundle.js"
    with urlopen(address) as plain:
        program, validator = plain.read(), plain.headers["Last-Modified"]
    assert program.count(bundle.LAST) == 1
    assert bundle.ALL not in program
    with urlopen(Request(address, headers={"Accept-Encoding": "gzip"})) as packed:
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.read()) == program
    assert ask(port, "/static/bundle.js", If_Modified_Since=validator)[0].status == 304
