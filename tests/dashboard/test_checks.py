"""Requests that optuna-dashboard itself would answer with an internal error."""

import json
from collections.abc import Iterator

import optuna
import pytest

from hpo.dashboard.application import ServerSettings, application
from hpo.dashboard.view import DashboardStorage
from hpo.storage.engine import open_storage
from tests.support.bad_input.requests import send
from tests.support.dashboard import ask, make_study, reason, served, store_at


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("dashboard")
    storage, store = open_storage(f"sqlite:///{folder / 'hpo.db'}"), store_at(folder)
    make_study(storage, store)
    optuna.create_study(storage=storage.plain, study_name="of-another-program")
    with served(application(DashboardStorage(storage, store), ServerSettings())) as port:
        yield port


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("PUT", "/api/studies/1/note", "[]", 400, "the body of the request: input should be"),
        ("PUT", "/api/studies/1/note", "{", 400, "the body of the request: invalid json"),
        ("PUT", "/api/studies/1/note", '{"body": 1, "version": 1}', 400, "body: input should be"),
        ("PUT", "/api/studies/1/note", None, 400, "body: field required"),
        ("PUT", "/api/studies/99/note", "{}", 404, "no such study"),
        ("POST", "/api/studies", '{"study_name": "x", "directions": 1}', 400, "directions: "),
        (
            "POST",
            "/api/studies",
            '{"study_name": "a\\u0000", "directions": ["minimize"]}',
            400,
            "study_name",
        ),
        ("POST", "/api/studies/2/rename", '{"study_name": {}}', 400, "study_name: input"),
        ("POST", "/api/studies/2/preference", '{"clicked": []}', 400, "mode: field required"),
        ("DELETE", "/api/studies/2", "[]", 400, "input should be an object"),
        ("GET", "/api/studies/1?after=x", None, 400, "after must be the number of a trial"),
        ("GET", "/api/studies/1/plot/pareto_front", None, 400, "has no Pareto front"),
        ("GET", "/api/studies/99/plot/slice", None, 404, "no such study"),
        ("GET", f"/api/studies/{'9' * 30}", None, 404, "no such study"),
        ("GET", "/api/studies/-1/param_importances", None, 404, "no such study"),
    ],
)
def test_an_invalid_request_gets_a_sentence(
    port: int, method: str, path: str, body: str | None, status: int, sentence: str
) -> None:
    response, text = ask(port, path, method, body, Content_Type="application/json")
    assert response.status == status, text
    assert sentence in reason(text)


def test_what_programs_without_a_browser_leave_out_is_not_missed(port: int) -> None:
    for path in ("/favicon.ico", "/static/bundle.js"):  # no Accept-Encoding
        assert (
            send(port, f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())[9:12] == b"200"
        )
    body = json.dumps({"study_name": "new", "directions": ["minimize"]})
    assert ask(port, "/api/studies", "POST", body)[0].status == 201  # no Content-Type


@pytest.mark.parametrize("path", ["/static/a%00b", "/dashboard/%0A", "/api/%7F"])
def test_control_characters_in_an_address_are_refused(port: int, path: str) -> None:
    assert ask(port, path)[0].status == 400


def test_a_body_of_unknown_length_is_refused(port: int) -> None:
    chunked = "PUT /api/studies/1/note HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked"
    assert send(port, f"{chunked}\r\nConnection: close\r\n\r\nx\r\n".encode())[9:12] == b"411"
