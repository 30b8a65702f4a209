"""The login: the password, with a limit on wrong guesses, and the sessions of users who gave it.

People log in on a page and get a session cookie. Scripts send `Authorization: Bearer PASSWORD`, or
Basic with any user name. Digests of sessions are kept in memory, and end with the server.

Wrong guesses are counted by address. Above the limit even the right password is refused.
"""

import base64
import hashlib
import hmac
import ipaddress
import math
import secrets
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from hpo.config.errors import InputError
from hpo.dashboard.login_page import send_login_page
from hpo.dashboard.responses import Header, redirect, refuse

HOME, LOGIN, LOGOUT = "/dashboard", "/login", "/logout"
SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 1000
"""Number of sessions beyond which the oldest end."""
WINDOW_SECONDS = 60
MAX_WRONG, MAX_WRONG_IN_ALL = 10, 200
"""Wrong guesses allowed in a window, from one address and from all."""
_MAX_FORM = 4096
"""Bytes of a form that are read."""
_CHALLENGE: Header = ("WWW-Authenticate", 'Bearer realm="hpo"')
"""Not Basic, for which browsers would open a dialog of their own."""
_Clock = Callable[[], float]


def read_password(file: Path | None, otherwise: str | None) -> str | None:
    """Read the password from a file; without a file, return the other password.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    if file is None:
        return otherwise or None
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"--password-file {file}: cannot be read ({reason})") from None
    if not password:
        raise InputError(f"--password-file {file}: must hold a password, but is empty")
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        print(
            f"hpo: --password-file {file} can be read by other users: chmod 600 {file}",
            file=sys.stderr,
        )
    return password


class TooManyGuesses(Exception):
    """Too many wrong passwords were tried.

    Attributes:
        seconds: time until the next one may be tried.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong passwords: try again in {seconds} s.")
        self.seconds = seconds


class Password:
    """A password with a limit on wrong guesses."""

    def __init__(self, password: str, clock: _Clock = time.monotonic) -> None:
        self._digest = _digest(password)
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def is_right(self, given: str, address: str) -> bool:
        """Whether a guess from an IP address is right.

        Raises:
            TooManyGuesses: too many guesses were wrong; this one was not compared.
        """
        source, now = _network(address), self._clock()
        with self._lock:
            while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
                self._wrong.popleft()
            every = [at for at, _ in self._wrong]
            own = [at for at, of in self._wrong if of == source]
            for times, limit in ((own, MAX_WRONG), (every, MAX_WRONG_IN_ALL)):
                if len(times) >= limit:
                    raise TooManyGuesses(math.ceil(times[-limit] + WINDOW_SECONDS - now))
            if hmac.compare_digest(_digest(given), self._digest):
                return True
            self._wrong.append((now, source))
            return False


class Sessions:
    """Random tokens of users who logged in, valid until they log out or the time is up."""

    def __init__(self, clock: _Clock = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def begin(self) -> str:
        """Start a session and return its token."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._ends[_digest(token)] = self._clock() + SESSION_SECONDS
            while len(self._ends) > MAX_SESSIONS:
                del self._ends[next(iter(self._ends))]
        return token

    def has(self, token: str) -> bool:
        """Whether a session is valid."""
        return self._clock() < self._ends.get(_digest(token), -math.inf)

    def end(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._ends.pop(_digest(token), None)


class Login:
    """WSGI middleware that requires the password."""

    def __init__(self, app: WSGIApplication, password: str, clock: _Clock = time.monotonic) -> None:
        """Put an application behind the login.

        Args:
            app: the application.
            password: the password.
            clock: current time in seconds.
        """
        self._app = app
        self._password = Password(password, clock)
        self._sessions = Sessions(clock)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Pass requests of logged-in users on, and send others to the login page."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        try:
            if (path, method) == (LOGIN, "POST"):
                return self._log_in(environ, start)
            if (path, method) == (LOGOUT, "POST"):
                return self._log_out(environ, start)
            is_known = self._is_known(environ)
        except TooManyGuesses as error:
            return refuse(environ, start, "429 Too Many Requests", str(error), _retry_after(error))
        if path == LOGIN:
            query = parse_qs(environ.get("QUERY_STRING", ""))
            target = _checked_target(query.get("next", [HOME])[0])
            if is_known:
                return redirect(start, target)
            return send_login_page(start, "200 OK", target)
        if is_known:
            return self._app(environ, start)
        if path in ("", "/", HOME) or path.startswith(f"{HOME}/"):
            return redirect(start, f"{LOGIN}?next={quote(path)}")
        return refuse(environ, start, "401 Unauthorized", "Log in to see this.", _CHALLENGE)

    def _is_known(self, environ: WSGIEnvironment) -> bool:
        if self._sessions.has(_session_token(environ)):
            return True
        given = _authorization(environ.get("HTTP_AUTHORIZATION", ""))
        return given is not None and self._password.is_right(given, environ["REMOTE_ADDR"])

    def _log_in(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        text = environ["wsgi.input"].read(_MAX_FORM).decode("utf-8", "replace")
        form = dict(parse_qsl(text))
        target = _checked_target(form.get("next", HOME))
        try:
            if not self._password.is_right(form.get("password", ""), environ["REMOTE_ADDR"]):
                wrong = "That is not the password."
                return send_login_page(start, "403 Forbidden", target, wrong)
        except TooManyGuesses as error:
            status, wait = "429 Too Many Requests", _retry_after(error)
            return send_login_page(start, status, target, str(error), wait)
        self._sessions.end(_session_token(environ))
        return redirect(start, target, _cookie(environ, self._sessions.begin(), SESSION_SECONDS))

    def _log_out(self, environ: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        self._sessions.end(_session_token(environ))
        return redirect(start, LOGIN, _cookie(environ, "", 0))


def _retry_after(error: TooManyGuesses) -> Header:
    return "Retry-After", str(error.seconds)


def _authorization(header: str) -> str | None:
    """Return the password in an `Authorization` header; None if there is none."""
    scheme, _, credentials = header.strip().partition(" ")
    with suppress(ValueError):  # not base64, or not UTF-8
        if scheme.lower() == "bearer":
            return credentials.strip().encode("latin-1").decode()
        if scheme.lower() == "basic":
            decoded = base64.b64decode(credentials, validate=True)
            _, separator, password = decoded.partition(b":")
            return password.decode() if separator else None
    return None


def _checked_target(path: str) -> str:
    """Return the page to open after the login, which must be a page of the dashboard."""
    is_page = path == HOME or (path.startswith(f"{HOME}/") and path.isascii())
    return quote(path) if is_page else HOME


def _cookie_name(environ: WSGIEnvironment) -> str:
    """Return the cookie's name, with the port, because all ports of a host share their cookies."""
    prefix = "__Host-" if environ["wsgi.url_scheme"] == "https" else ""
    return f"{prefix}hpo-{environ.get('SERVER_PORT', '')}"


def _cookie(environ: WSGIEnvironment, token: str, seconds: int) -> Header:
    """Return a session cookie; it is Lax, so that links from other sites find users logged in."""
    secure = "; Secure" if environ["wsgi.url_scheme"] == "https" else ""
    attributes = f"Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    return "Set-Cookie", f"{_cookie_name(environ)}={token}; {attributes}"


def _session_token(environ: WSGIEnvironment) -> str:
    """Return the token in the session cookie; http.cookies fails if another one is malformed."""
    cookies = (text.strip().partition("=") for text in environ.get("HTTP_COOKIE", "").split(";"))
    values: dict[str, str] = {name: value for name, _, value in cookies}
    return values.get(_cookie_name(environ), "")


def _digest(text: str) -> bytes:
    """Return a digest of a secret, whose length does not reveal the secret's."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _network(address: str) -> str:
    """Return what one client controls: an IPv4 address, or the /64 network of an IPv6 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
