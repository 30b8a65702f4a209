"""Who may look: those who know the password, and the sessions that they began with it.

People log in on a page and get a session cookie; scripts send `Authorization: Bearer PASSWORD`, or
Basic with any user name. Sessions are kept here alone, by their digests, and end with the server.
"""

import base64
import binascii
import math
import secrets
import threading
import time
from collections.abc import Iterable
from urllib.parse import parse_qs, quote

from hpo.dashboard.login_page import page
from hpo.dashboard.password import Clock, Password, TooManyGuesses, digest
from hpo.dashboard.responses import App, Environ, Header, Start, redirect, refuse

LOGIN, LOGOUT, HOME = "/login", "/logout", "/dashboard"
SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 1000
"""When there are more, the oldest end."""
MAX_FORM = 4096
"""Bytes of a form that is read."""
CHALLENGE: Header = ("WWW-Authenticate", 'Bearer realm="hpo"')
"""Not Basic, for which browsers would open a window of their own."""


class Sessions:
    """Random names of those who logged in, until they log out or time is up."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def begin(self) -> str:
        """A new session's name."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            self._ends[digest(name)] = self._clock() + SESSION_SECONDS
            while len(self._ends) > MAX_SESSIONS:
                del self._ends[next(iter(self._ends))]
        return name

    def has(self, name: str) -> bool:
        """Whether a session goes on."""
        return self._clock() < self._ends.get(digest(name), -math.inf)

    def end(self, name: str) -> None:
        """End a session."""
        with self._lock:
            self._ends.pop(digest(name), None)


class Login:
    """An application behind the login."""

    def __init__(self, app: App, password: str, clock: Clock = time.monotonic) -> None:
        """Put the login before an application.

        Args:
            app: for those who are known.
            password: theirs.
            clock: in seconds.
        """
        self._app = app
        self._password = Password(password, clock)
        self._sessions = Sessions(clock)

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Let through who is known, show others the login."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        try:
            if (path, method) == (LOGIN, "POST"):
                return self._log_in(environ, start)
            if (path, method) == (LOGOUT, "POST"):
                return self._log_out(environ, start)
            is_known = self._is_known(environ)
        except TooManyGuesses as error:
            return refuse(environ, start, "429 Too Many Requests", str(error), _later(error))
        if path == LOGIN:
            asked = parse_qs(environ.get("QUERY_STRING", "")).get("next", [HOME])
            target = _target(asked[0])
            return redirect(start, target) if is_known else page(start, "200 OK", target)
        if is_known:
            return self._app(environ, start)
        if path in ("", "/", HOME) or path.startswith(f"{HOME}/"):
            return redirect(start, f"{LOGIN}?next={quote(path)}")
        return refuse(environ, start, "401 Unauthorized", "Log in to see this.", CHALLENGE)

    def _is_known(self, environ: Environ) -> bool:
        if self._sessions.has(_session(environ)):
            return True
        given = _authorization(environ.get("HTTP_AUTHORIZATION", ""))
        return given is not None and self._password.is_right(given, _address(environ))

    def _log_in(self, environ: Environ, start: Start) -> list[bytes]:
        form = _form(environ)
        target = _target(form.get("next", HOME))
        try:
            if not self._password.is_right(form.get("password", ""), _address(environ)):
                return page(start, "403 Forbidden", target, "That is not the password.")
        except TooManyGuesses as error:
            return page(start, "429 Too Many Requests", target, str(error), _later(error))
        self._sessions.end(_session(environ))
        cookie = _cookie(environ, self._sessions.begin(), SESSION_SECONDS)
        return redirect(start, target, cookie)

    def _log_out(self, environ: Environ, start: Start) -> list[bytes]:
        self._sessions.end(_session(environ))
        return redirect(start, LOGIN, _cookie(environ, "", 0))


def _later(error: TooManyGuesses) -> Header:
    return "Retry-After", str(error.seconds)


def _address(environ: Environ) -> str:
    return str(environ.get("REMOTE_ADDR", ""))


def _authorization(header: str) -> str | None:
    """The password of an `Authorization` header; None where it holds none."""
    scheme, _, given = header.strip().partition(" ")
    try:
        if scheme.lower() == "bearer":
            return given.strip().encode("latin-1").decode()
        if scheme.lower() == "basic":
            _, separator, password = base64.b64decode(given, validate=True).partition(b":")
            return password.decode() if separator else None
    except (binascii.Error, ValueError):
        pass
    return None


def _form(environ: Environ) -> dict[str, str]:
    """The fields of a short form; of a longer one none."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return {}
    if not 0 < length <= MAX_FORM:
        return {}
    text = environ["wsgi.input"].read(length).decode("utf-8", "replace")
    return {name: values[0] for name, values in parse_qs(text).items()}


def _target(asked: str) -> str:
    """Where to go after the login: a page of the dashboard, nowhere else."""
    is_page = asked == HOME or (asked.startswith(f"{HOME}/") and asked.isascii())
    return quote(asked) if is_page else HOME


def _cookie_name(environ: Environ) -> str:
    """Cookies are shared by all ports of a host, so the port is in the name."""
    prefix = "__Host-" if environ["wsgi.url_scheme"] == "https" else ""
    return f"{prefix}hpo-{environ.get('SERVER_PORT', '')}"


def _cookie(environ: Environ, session: str, seconds: int) -> Header:
    """Lax, so that a link to a study, in a chat say, finds those who logged in."""
    secure = "; Secure" if environ["wsgi.url_scheme"] == "https" else ""
    name = _cookie_name(environ)
    kept = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    return "Set-Cookie", f"{name}={session}; {kept}"


def _session(environ: Environ) -> str:
    """The session that the browser names, read by hand: other pages' cookies may be malformed."""
    wanted = _cookie_name(environ)
    for sent in environ.get("HTTP_COOKIE", "").split(";"):
        name, _, value = sent.strip().partition("=")
        if name == wanted:
            return str(value)
    return ""
