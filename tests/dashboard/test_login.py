"""The dashboard's password, sessions, and login of scripts."""

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from hpo.config.errors import InputError
from hpo.dashboard.guard import guard
from hpo.dashboard.login import (
    MAX_SESSIONS,
    MAX_WRONG,
    MAX_WRONG_IN_ALL,
    SESSION_SECONDS,
    WINDOW_SECONDS,
    Login,
    Password,
    Sessions,
    TooManyGuesses,
    read_password,
)
from tests.support.dashboard import ask, basic, reason, served

PASSWORD = "sesame: ü"
FORM = "application/x-www-form-urlencoded"


class Clock:
    """A clock that tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def inside(environ, start):
    """A WSGI application to put behind the login."""
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"inside"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def port(clock) -> Iterator[int]:
    with served(guard(Login(inside, PASSWORD, clock), {"localhost"})) as port:
        yield port


def log_in(port: int, password: str = PASSWORD, target: str = "/dashboard", **headers):
    body = urlencode({"password": password, "next": target})
    return ask(port, "/login", "POST", body, Content_Type=FORM, **headers)


def cookie(port: int) -> str:
    return log_in(port)[0].headers["Set-Cookie"].partition(";")[0]


def test_without_the_password_nothing_is_shown(port):
    for path in ("/api/studies", "/csv/1", "/static/bundle.js", "/artifacts/1/1/2-1", "/login/x"):
        response, text = ask(port, path)
        assert response.status == 401
        assert "Log in to see this." in text
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="hpo"'
    assert reason(ask(port, "/api/studies")[1]) == "Log in to see this."


def test_pages_lead_to_the_login_and_back(port):
    for path in ("/", "/dashboard", "/dashboard/studies/1"):
        response, text = ask(port, path)
        assert (response.status, text) == (303, "")
        assert response.headers["Location"] == f"/login?next={path}"
    form = ask(port, "/login?next=/dashboard/studies/1")[1]
    assert '<input type="hidden" name="next" value="/dashboard/studies/1">' in form
    assert log_in(port, target="/dashboard/studies/1")[0].headers["Location"].endswith("/1")


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/dashboardx", "/dashboard/é", ""]
)
def test_the_login_leads_nowhere_else(port, target):
    assert log_in(port, target=target)[0].headers["Location"] == "/dashboard"
    assert 'value="/dashboard"' in ask(port, f"/login?{urlencode({'next': target})}")[1]


def test_a_page_after_the_login_is_named_without_its_own_markup(port):
    text = ask(port, "/login?next=/dashboard/%22%3E%3Cscript%3E")[1]
    assert "<script>" not in text


def test_a_session_lasts_until_it_is_ended(port):
    response, _ = log_in(port)
    sent = response.headers["Set-Cookie"]
    assert response.status == 303
    assert re.fullmatch(
        rf"hpo-{port}=[\w-]{{43}}; Path=/; Max-Age=\d+; HttpOnly; SameSite=Lax", sent
    )
    own = f'broken={{"x"; {sent.partition(";")[0]}; other=1'
    assert ask(port, Cookie=own)[1] == "inside"
    assert ask(port, "/login", Cookie=own)[0].headers["Location"] == "/dashboard"
    response, _ = ask(port, "/logout", "POST", Cookie=own)
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert ask(port, Cookie=own)[0].status == 401


def test_a_session_ends_by_itself(port, clock):
    own = cookie(port)
    clock.now = SESSION_SECONDS - 1.0
    assert ask(port, Cookie=own)[0].status == 200
    clock.now = SESSION_SECONDS + 1.0
    assert ask(port, Cookie=own)[0].status == 401


def test_sessions_are_random_and_not_kept_without_end():
    sessions = Sessions()
    first = sessions.begin()
    others = {sessions.begin() for _ in range(MAX_SESSIONS)}
    assert len(others) == MAX_SESSIONS
    assert not sessions.has(first)
    assert all(sessions.has(name) for name in others)


def test_a_wrong_password_is_said_so_and_begins_nothing(port):
    for password in ("", "sesame", f"{PASSWORD} "):
        response, text = log_in(port, password)
        assert response.status == 403
        assert '<p class="wrong" id="wrong" role="alert">That is not the password.</p>' in text
        assert response.headers["Set-Cookie"] is None
        assert password == "" or f'"{password}"' not in text


@pytest.mark.parametrize("body", ["x" * 5000, "", "password", "%ff=%fe"])
def test_what_is_no_form_is_no_password(port, body):
    assert ask(port, "/login", "POST", body, Content_Type=FORM)[0].status == 403


def test_scripts_send_the_password_with_each_request(port):
    bearer = f"Bearer {PASSWORD}".encode().decode("latin-1")
    for known in (basic(PASSWORD), basic(PASSWORD, ""), bearer):
        assert ask(port, Authorization=known)[1] == "inside"


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic !", "Basic é", "Bearer", "Bearer sesame", basic("sesame"), "Digest x"],
)
def test_other_headers_do_not_open(port, authorization):
    assert ask(port, Authorization=authorization)[0].status == 401


def test_the_password_opens_no_other_name_or_page(port):
    assert log_in(port, Host="evil.example")[0].status == 403
    assert log_in(port, Origin="http://evil.example")[0].status == 403
    forged = {"Authorization": basic(PASSWORD), "Origin": "http://evil.example"}
    assert ask(port, "/api/studies/1", "DELETE", **forged)[0].status == 403


def test_guesses_are_limited_whichever_way_they_come(port, clock):
    own = cookie(port)
    for _ in range(MAX_WRONG // 2):
        assert log_in(port, "guess")[0].status == 403
        assert ask(port, Authorization=basic("guess"))[0].status == 401
    for response, text in (log_in(port), ask(port, Authorization=basic(PASSWORD))):
        assert response.status == 429
        assert response.headers["Retry-After"] == "60"
        assert "Too many wrong passwords: try again in 60 s." in text
    assert ask(port, Cookie=own)[0].status == 200
    clock.now = WINDOW_SECONDS + 1.0
    assert log_in(port)[0].status == 303


def test_guesses_are_counted_by_address_and_in_all():
    password = Password(PASSWORD, Clock())
    for _ in range(MAX_WRONG):
        assert not password.is_right("guess", "2001:db8::1")
    with pytest.raises(TooManyGuesses):
        password.is_right(PASSWORD, "2001:db8::2")  # of the same network
    assert password.is_right(PASSWORD, "192.0.2.1")
    for number in range(MAX_WRONG_IN_ALL - MAX_WRONG):
        assert not password.is_right("guess", f"10.0.{number}.1")
    with pytest.raises(TooManyGuesses):
        password.is_right(PASSWORD, "192.0.2.1")


def test_a_password_file(tmp_path, capsys):
    path = tmp_path / "password"
    path.write_text("sesame \n", encoding="utf-8")
    path.chmod(0o600)
    assert read_password(path, "other") == "sesame "
    assert capsys.readouterr().err == ""
    path.chmod(0o640)
    read_password(path, None)
    said = capsys.readouterr().err
    assert said == f"hpo: --password-file {path} can be read by other users: chmod 600 {path}\n"
    assert read_password(None, "") is None


@pytest.mark.parametrize(
    ("content", "said"), [(b"\n", "is empty"), (b"\xff", "UTF-8"), (None, "No such file")]
)
def test_what_is_no_password_file(tmp_path, content, said):
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"--password-file .*{said}"):
        read_password(path, None)
