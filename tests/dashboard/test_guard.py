"""The requests and changes that the dashboard refuses, over HTTP."""

import json
from collections.abc import Iterator

import optuna
import pytest

from hpo.dashboard.application import ServerSettings, application
from hpo.dashboard.view import DashboardStorage
from hpo.storage.engine import open_storage
from tests.support.dashboard import ask, make_study, reason, served, store_at

NOTE = "/api/studies/1/note"


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> DashboardStorage:
    folder = tmp_path_factory.mktemp("dashboard")
    storage, store = open_storage(f"sqlite:///{folder / 'hpo.db'}"), store_at(folder)
    make_study(storage, store)
    optuna.create_study(storage=storage.plain, study_name="of-another-program")
    return DashboardStorage(storage, store)


@pytest.fixture(scope="module")
def port(view) -> Iterator[int]:
    with served(application(view, ServerSettings(allowed_hosts=("proxy.example",)))) as port:
        yield port


@pytest.fixture(scope="module")
def reading_port(view) -> Iterator[int]:
    with served(application(view, ServerSettings(read_only=True))) as port:
        yield port


def test_the_dashboard_answers_under_its_own_names(port):
    own = ("localhost", f"localhost:{port}", "LocalHost", "127.0.0.1", "[::1]:80", "Proxy.example")
    for host in own:
        response, text = ask(port, Host=host)
        assert response.status == 200, host
        assert json.loads(text)["study_summaries"][0]["study_name"] == "houses"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "[x]:80", "@"])
def test_another_name_is_refused_against_rebinding(port, host):
    response, text = ask(port, Host=host)
    assert response.status == 403
    assert reason(text) == "This server has another name; --allow-host adds one."


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:1"},
        {"Origin": "https://localhost:1"},  # a proxy that speaks TLS
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost:1"},
    ],
)
def test_the_dashboards_own_page_may_write(port, headers):
    kind = {"Content_Type": "application/json", "Host": "localhost:1"}
    body = json.dumps({"body": "a note", "version": 1})
    response, text = ask(port, NOTE, "PUT", body, **kind, **headers)
    assert response.status in (204, 409), text  # 409: a newer note exists


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:2"},
        {"Origin": "ftp://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost:1"},
    ],
)
def test_no_other_page_may_write(port, method, headers):
    response, text = ask(port, "/api/studies/2", method, "{}", Host="localhost:1", **headers)
    assert (response.status, reason(text)) == (403, "Another page sent this request.")


@pytest.mark.parametrize("path", ["/dashboard", "/api/studies", "/artifacts/1/1/0-1", "/nowhere"])
def test_every_answer_keeps_other_sites_and_caches_out(port, path):
    headers = ask(port, path)[0].headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Access-Control-Allow-Origin"] is None
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "sentence"),
    [
        ("DELETE", "/api/studies/1", "hpo delete houses deletes the study, with its weights."),
        ("DELETE", "/api/studies/01/", "hpo delete houses deletes the study, with its weights."),
        ("POST", "/api/studies/1/rename", "Study houses keeps its name"),
        ("POST", "/api/studies/1/1/skip", "Study houses is changed by its workers"),
        ("POST", "/api/trials/1/tell", "This dashboard changes no trials"),
        ("POST", "/api/trials/1/user-attrs", "This dashboard changes no trials"),
        ("POST", "/api/artifacts/1", "keeps no files"),
        ("DELETE", "/api/artifacts/1/1/0-1", "keeps no files"),
    ],
)
def test_what_would_break_a_study_of_hpo_is_refused(port, method, path, sentence):
    response, text = ask(port, path, method, "{}", Content_Type="application/json")
    assert response.status == 403
    assert sentence in reason(text)
    assert "houses" in ask(port)[1]


@pytest.mark.parametrize("path", ["/api/studies/1%FF", "/api/studies/%EF%BC%91"])
def test_no_change_slips_by_in_other_letters(port, path):
    assert ask(port, path, "DELETE", "{}")[0].status == 400
    assert "houses" in ask(port)[1]


def test_studies_of_other_programs_are_theirs_to_change(port):
    kind = {"Content_Type": "application/json"}
    made = ask(
        port, "/api/studies", "POST", '{"study_name": "x", "directions": ["minimize"]}', **kind
    )
    number = json.loads(made[1])["study_summary"]["study_id"]
    assert ask(port, f"/api/studies/{number}", "DELETE", "{}", **kind)[0].status == 204


def test_who_only_reads_is_refused_every_change_and_shown_everything(reading_port):
    for method, path in (("PUT", NOTE), ("POST", "/api/studies"), ("DELETE", "/api/studies/2")):
        response, text = ask(reading_port, path, method, "{}")
        assert (response.status, reason(text)) == (403, "This dashboard is read-only.")
    for path in ("/api/studies/1", "/api/studies/1/param_importances", "/csv/1", "/api/meta"):
        assert ask(reading_port, path)[0].status == 200
    assert "Read-only" in ask(reading_port, "/dashboard/studies/1")[1]
