import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import optuna_dashboard
import pytest

from hpo.dashboard import App, application, guarded, listen, serve
from hpo.errors import HpoError, InputError
from hpo.storage.engine import open_storage

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PARAM = "optimizer.learning_rate"


@pytest.fixture(scope="module")
def storage(tmp_path_factory) -> optuna.storages.BaseStorage:
    """A study of three finished trials with a dotted param and four epochs each."""
    url = f"sqlite:///{tmp_path_factory.mktemp('dashboard') / 'hpo.db'}"
    opened = open_storage(url)
    study = optuna.create_study(storage=url, study_name="houses")
    for number in range(3):
        trial = study.ask()
        rate = trial.suggest_float(PARAM, 1e-4, 1e-2, log=True)
        for step in range(1, 5):
            trial.report(rate + number / step, step)
        study.tell(trial, rate)
    return opened.plain


@contextmanager
def served(app: App) -> Iterator[int]:
    with listen(app, socket.AF_INET, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def open_port(storage) -> Iterator[int]:
    with served(application(storage, {"localhost"}, None)) as port:
        yield port


@pytest.fixture
def locked_port(storage) -> Iterator[int]:
    with served(application(storage, {"localhost"}, "sesame: ü")) as port:
        yield port


def ask(
    port: int, path: str = "/api/studies", method: str = "GET", body: str | None = None, **headers
) -> tuple[http.client.HTTPResponse, str]:
    """One request; header names are written with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response, text


def basic(password: str, user: str = "me") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_the_dashboard_answers_under_its_own_name(open_port):
    for host in ("localhost", f"localhost:{open_port}", "LocalHost", "127.0.0.1", "[::1]:80"):
        response, text = ask(open_port, Host=host)
        assert response.status == 200, host
        assert json.loads(text)["study_summaries"][0]["study_name"] == "houses"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "[x]:80", "@"])
def test_another_name_is_refused_against_rebinding(open_port, host):
    response, text = ask(open_port, Host=host)
    assert (response.status, text) == (403, "This server has another name.\n")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost:1"},
    ],
)
def test_the_dashboards_own_page_may_write(open_port, headers):
    body = json.dumps({"body": "a note", "version": 1})
    path = "/api/studies/1/note"
    kind = {"Content_Type": "application/json", "Host": "localhost:1"}
    response, text = ask(open_port, path, "PUT", body, **kind, **headers)
    assert response.status in (204, 409), text  # 409: a newer note is there


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:2"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://localhost:1"},
    ],
)
def test_no_other_page_may_write(open_port, method, headers):
    response, text = ask(open_port, "/api/studies/1", method, "{}", Host="localhost:1", **headers)
    assert (response.status, text) == (403, "Another page sent this request.\n")
    assert "houses" in ask(open_port)[1]


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic !",
        "Basic é",
        basic(""),
        basic("sesame"),
        basic("sesame: ü "),
        basic("sesame: ü").replace("Basic", "Bearer"),
    ],
)
def test_without_the_password_nothing_is_shown(locked_port, authorization):
    given = {} if authorization is None else {"Authorization": authorization}
    for path in ("/", "/dashboard", "/api/studies", "/csv/1", "/static/bundle.js"):
        response, text = ask(locked_port, path, **given)
        assert (response.status, text) == (401, "A password is needed.\n")
        assert response.headers["WWW-Authenticate"].startswith("Basic ")


def test_with_the_password_under_any_name_it_is(locked_port):
    for user in ("", "me"):
        response, text = ask(locked_port, Authorization=basic("sesame: ü", user))
        assert response.status == 200
        assert "houses" in text


def test_the_password_does_not_open_another_name_or_page(locked_port):
    known = basic("sesame: ü")
    assert ask(locked_port, Authorization=known, Host="evil.example")[0].status == 403
    other = ask(
        locked_port, "/api/studies/1", "DELETE", Authorization=known, Origin="http://evil.example"
    )
    assert other[0].status == 403


@pytest.mark.parametrize("path", ["/dashboard", "/api/studies", "/csv/1", "/nowhere"])
def test_every_answer_keeps_other_sites_out(open_port, path):
    headers = ask(open_port, path)[0].headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Access-Control-Allow-Origin"] is None


def test_an_artifact_comes_as_a_download_that_no_page_can_read(tmp_path):
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    (tmp_path / "store").mkdir()
    store = optuna.artifacts.FileSystemArtifactStore(tmp_path / "store")
    page = tmp_path / "page.html"
    page.write_text("<script>alert(1)</script>")
    artifact = optuna.artifacts.upload_artifact(
        artifact_store=store, file_path=str(page), study_or_trial=study, mimetype="text/html"
    )
    app = optuna_dashboard.wsgi(storage, artifact_store=store)
    with served(guarded(app, {"localhost"}, None)) as port:
        response, text = ask(port, f"/artifacts/{study._study_id}/{artifact}")
    assert (response.status, text) == (200, "<script>alert(1)</script>")
    assert response.headers.get_all("Content-Type") == ["application/octet-stream"]
    assert response.headers["Content-Disposition"] == "attachment"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Access-Control-Allow-Origin"] is None


def test_two_readers_are_served_at_once(storage):
    both = threading.Barrier(2, timeout=20)
    app = application(storage, {"localhost"}, None)

    def slow(environ, start_response):
        both.wait()
        return app(environ, start_response)

    with served(slow) as port:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(ask(port))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [response.status for response, _ in answers] == [200, 200]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize("password", [None, ""])
def test_beyond_loopback_a_password_is_required(host, password):
    with pytest.raises(InputError, match="HPO_DASHBOARD_PASSWORD"):
        serve("sqlite:///none.db", host, 0, password)


@pytest.mark.parametrize("host", ["no such host", "", "a" * 70, "256.0.0.1"])
def test_what_is_no_host(host):
    with pytest.raises(InputError, match=f'--host must be an address .* but got "{host}"'):
        serve("sqlite:///none.db", host, 0, None)


def test_an_address_of_another_machine():
    with pytest.raises(HpoError, match=r"cannot listen on port 0 of 192\.0\.2\.1"):
        listen(lambda environ, start: [], socket.AF_INET, "192.0.2.1", 0)


def test_a_missing_database_is_not_created(tmp_path):
    path = tmp_path / "none.db"
    with pytest.raises(HpoError, match=r"none\.db"):
        serve(f"sqlite:///{path}", "127.0.0.1", 0, None)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_gets_one_sentence(open_port):
    with pytest.raises(HpoError) as caught:
        listen(lambda environ, start: [], socket.AF_INET, "127.0.0.1", open_port)
    assert str(caught.value) == (
        f"cannot listen on port {open_port} of 127.0.0.1: address already in use; "
        "choose another by --port"
    )


def test_the_command_serves_until_interrupted(tmp_path):
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    code = f"from hpo.storage.engine import open_storage; open_storage({url!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    command = [sys.executable, "-m", "hpo", "dashboard", "--port", "0", "--storage", url]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HPO_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())[1])
        assert ask(port)[0].status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0


@pytest.mark.slow
def test_a_browser_shows_param_names_and_curves(storage):
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: install the Debian package chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with (
        served(application(storage, {"localhost"}, "sesame")) as port,
        sync_api.sync_playwright() as p,
    ):
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGS)
        page = browser.new_page(http_credentials={"username": "me", "password": "sesame"})
        refused = []
        page.on("response", lambda got: refused.append(got.url) if got.status >= 400 else None)
        page.goto(f"http://127.0.0.1:{port}/dashboard/studies/1", timeout=60_000)
        curves = page.locator("#graph-intermediate-values .scatterlayer .trace")
        curves.nth(2).wait_for(timeout=60_000)
        assert curves.count() == 3
        assert PARAM in page.inner_text("#graph-hyperparameter-importances")
        browser.close()
    assert refused == []
