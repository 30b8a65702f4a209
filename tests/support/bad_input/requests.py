"""HTTP requests to the dashboard: odd paths, methods, headers and bodies, or damaged bytes.

Requests go over a socket to the real server. No answer may be an error of the server, show a
traceback or a secret, or take more than some seconds.
"""

import contextlib
import io
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import quote

import numpy as np
import optuna

from hpo.dashboard import login
from hpo.dashboard.application import ServerSettings, application
from hpo.dashboard.view import DashboardStorage
from hpo.storage.engine import open_storage
from tests.support.bad_input.mutations import Random, odd
from tests.support.bad_input.trying import SECRET, Try
from tests.support.dashboard import basic, make_study, served, store_at
from tests.support.ugly_tables import damaged

PASSWORD = "the-dashboards-password"
WAIT_SECONDS = 60.0
"""Far beyond the five seconds of processor time that an answer may take."""

PATHS = (
    *("/", "", "//", "/dashboard", "/dashboard/", "/dashboard/studies/{n}/trials", "/nowhere"),
    *("/login", "/login?next={v}", "/logout", "/favicon.ico", "/static/bundle.js", "/static/{v}"),
    *("/api/meta", "/api/studies", "/api/studies/{n}", "/api/studies/{n}?after={v}"),
    *("/api/studies/{n}/param_importances", "/api/studies/{n}/plot/{plot}"),
    *("/api/studies/{n}/note", "/api/studies/{n}/{n}/note"),
    *("/api/studies/{n}/rename", "/api/studies/{n}/{n}/skip"),
    *("/api/studies/{n}/preference", "/api/studies/{n}/preference/{v}"),
    *("/api/studies/{n}/preference_feedback_component", "/api/trials/{n}/tell", "/csv/{n}"),
    *("/api/trials/{n}/user-attrs", "/csv/{n}?trial_ids={v}", "/api/llm/trial_filter_query"),
    *("/api/artifacts/{n}", "/api/artifacts/{n}/{n}", "/api/artifacts/{n}/{n}/{v}"),
    *("/artifacts/{n}/{n}/{file}", "/artifacts/{n}/{file}", "/artifacts/{v}", "/api/{v}", "/{v}"),
)
NUMBERS = (
    *("0", "1", "1", "2", "2", "2", "3", "99", "-1", "01", "x", "1.5"),
    "9" * 18,
    "9" * 30,
    "",
)
PLOTS = ("contour", "slice", "parallel_coordinate", "rank", "edf", "timeline", "pareto_front", "x")
METHODS = (*("GET", "GET", "GET", "HEAD", "POST", "POST"), *("PUT", "DELETE", "OPTIONS", "TRACE"))
KEYS = (
    *("study_name", "directions", "body", "version", "state", "values", "user_attrs", "mode"),
    *("candidates", "clicked", "output_type", "artifact_key", "remove_associated_artifacts"),
)
PASSES = (f"Authorization: Bearer {PASSWORD}", f"Authorization: {basic(PASSWORD)}")
HEADERS = f"""\
Host: localhost
Host: 127.0.0.1:80
Host: evil.example
Host: [
Host:
Origin: http://localhost
Origin: null
Origin: http://[
Sec-Fetch-Site: cross-site
Content-Type: application/json
Content-Type: text/plain
Content-Type: \xff
Content-Length: -1
Content-Length: x
Content-Length: 99999999999
Transfer-Encoding: chunked
Transfer-Encoding: gzip, chunked
Connection: keep-alive, x
Expect: 100-continue
Upgrade: h2c
Accept-Encoding: gzip
Accept-Encoding: \x01
Range: bytes=0-0
Range: bytes=9-1
If-Modified-Since: yesterday
If-None-Match: *
Authorization: Basic
Authorization: Basic !!!
Authorization: Bearer \xe9
Cookie: =;;=
Cookie: hpo-80=\xff; __Host-hpo-=1
X-Forwarded-For: 10.0.0.1
: no name
no colon
X: {"x" * 70_000}""".split("\n")


@contextmanager
def requests(folder: Path) -> Iterator[Try]:
    """Requests to three dashboards: an open one, one with a login, and a read-only one."""
    storage, store = open_storage(f"sqlite:///{folder / 'hpo.db'}"), store_at(folder)
    make_study(storage, store)
    optuna.create_study(storage=storage.plain, study_name="of-another-program")
    view, errors, log = DashboardStorage(storage, store), io.StringIO(), io.StringIO()
    all_settings = (
        ServerSettings(),
        ServerSettings(password=PASSWORD),
        ServerSettings(read_only=True),
    )
    with contextlib.ExitStack() as stack:
        stack.callback(storage.close)
        stack.enter_context(_no_limit_on_guesses())
        stack.enter_context(_logged_to(log))
        stack.enter_context(contextlib.redirect_stderr(errors))
        ports = [stack.enter_context(served(application(view, each))) for each in all_settings]

        def try_one(seed: int) -> str:
            random = np.random.default_rng(seed)
            request = drawn_request(random)
            answer = send(ports[random.integers(len(ports))], request)
            said = errors.getvalue() + log.getvalue()
            for stream in (errors, log):
                stream.seek(0)
                stream.truncate()
            _check(request, answer, said)
            return answer[9:12].decode() or "closed"

        yield try_one


def drawn_request(random: Random) -> bytes:
    """A request as bytes, which end the connection; every eighth one is damaged."""
    path = str(random.choice(PATHS)).format(
        n=random.choice(NUMBERS),
        plot=random.choice(PLOTS),
        file=f"{random.integers(4)}-{random.choice(NUMBERS)}",
        v=_quoted(random),
    )
    body = _body(random, path)
    lines = [f"{random.choice(METHODS)} {path} HTTP/1.1", "Connection: close"]
    if random.random() < 0.9:
        lines += ["Host: localhost", f"Content-Length: {len(body)}"]
        lines += ["Content-Type: application/json"] * (random.random() < 0.8)
    if random.random() < 0.5:
        lines.append(str(random.choice(PASSES)))
    if random.random() < 0.4:
        lines += [HEADERS[at] for at in random.integers(0, len(HEADERS), random.integers(1, 4))]
    content = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
    return damaged(random, content) if random.random() < 0.125 else content


def _body(random: Random, path: str) -> bytes:
    if path.startswith("/login"):
        given = str(random.choice([PASSWORD, "wrong", ""]))
        return f"password={quote(given)}&next={_quoted(random)}".encode()
    pick = random.random()
    if pick < 0.3:
        return b""
    tree: Any = {name: odd(random) for name in random.choice(KEYS, 3)}
    if pick < 0.6:
        tree |= {"body": "a note", "version": int(random.integers(5))}
        tree |= {"study_name": "x", "directions": ["minimize"]}
        name = str(random.choice(list(tree)))
        tree[name] = odd(random)
    elif pick < 0.7:
        tree = odd(random)
    content = json.dumps(tree, default=str).encode()
    return damaged(random, content) if random.random() < 0.1 else content


def _quoted(random: Random) -> str:
    """An odd value as a part of an address."""
    safe = str(random.choice(["", "/.?=&"]))
    return quote(str(odd(random))[:2000], safe=safe, errors="replace")


def send(port: int, request: bytes) -> bytes:
    """Send bytes and the end of the connection; return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
        parts = []
        with contextlib.suppress(OSError):  # refused before all of it was read
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 16):
                parts.append(part)
    answer = b"".join(parts)
    if answer.startswith(b"HTTP/1.1 100"):  # to "Expect: 100-continue"
        answer = answer.partition(b"\r\n\r\n")[2]
    return answer


def _check(request: bytes, answer: bytes, said: str) -> None:
    shown = f"{request[:400]!r} gives {answer[:300]!r}"
    assert not answer or answer.startswith(b"HTTP/1.1 "), shown
    assert answer[9:10] != b"5" or answer[9:12] in (b"501", b"505"), shown  # of HTTP itself
    for secret in (SECRET, PASSWORD):
        assert secret.encode() not in answer, f"shows a secret: {shown}"
        assert secret not in said, f"logs a secret: {shown}"
    assert b"Traceback" not in answer, shown
    assert "Traceback" not in said, f"{said[-600:]} for {shown}"
    assert 'File "' not in said, f"{said[-600:]} for {shown}"


@contextmanager
def _no_limit_on_guesses() -> Iterator[None]:
    """Allow any number of wrong passwords, or all later requests would be refused."""
    with (
        mock.patch.object(login, "MAX_WRONG", 10**9),
        mock.patch.object(login, "MAX_WRONG_IN_ALL", 10**9),
    ):
        yield


@contextmanager
def _logged_to(stream: io.StringIO) -> Iterator[None]:
    """Write what the server and optuna-dashboard log as errors to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
