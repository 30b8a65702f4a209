"""Who may look: a password, sessions of those who gave it, and a limit on guesses.

People log in on a page and get a session cookie; scripts send `Authorization: Bearer PASSWORD`, or
Basic with any user name. Sessions are kept here alone, by their digests, and end with the server.
Wrong passwords are counted by address: so many a minute, and then not even the right one is taken.

Does not know: what is behind the login.
"""

import base64
import binascii
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
from pathlib import Path
from urllib.parse import parse_qs, quote

from hpo.dashboard.answers import App, Environ, Header, Start, redirect, refuse
from hpo.dashboard.login_page import page
from hpo.errors import InputError

LOGIN, LOGOUT, HOME = "/login", "/logout", "/dashboard"
SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 1000
"""When there are more, the oldest end."""
WINDOW_SECONDS = 60
MAX_WRONG, MAX_WRONG_IN_ALL = 10, 200
"""Wrong passwords a window, from one address and from all."""
MAX_FORM = 4096
"""Bytes of a form that is read."""
CHALLENGE: Header = ("WWW-Authenticate", 'Bearer realm="hpo"')
"""Not Basic, for which browsers would open a window of their own."""
Clock = Callable[[], float]


def read_password(file: Path | None, otherwise: str | None) -> str | None:
    """The password in a file, the newline at its end apart; without a file, the other one.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    if file is None:
        return otherwise or None
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
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
    """Too many wrong passwords; holds the seconds until the next may be tried."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong passwords: try again in {seconds} s.")
        self.header: Header = ("Retry-After", str(seconds))


class Password:
    """A password that is compared in constant time, and not without end."""

    def __init__(self, password: str, clock: Clock = time.monotonic) -> None:
        self._digest = _digest(password)
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def is_right(self, given: str, address: str) -> bool:
        """Whether it is the password.

        Raises:
            TooManyGuesses: too many others were tried; this one was not.
        """
        source, now = _network(address), self._clock()
        with self._lock:
            while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
                self._wrong.popleft()
            in_all = [at for at, _ in self._wrong]
            own = [at for at, whose in self._wrong if whose == source]
            for times, most in ((own, MAX_WRONG), (in_all, MAX_WRONG_IN_ALL)):
                if len(times) >= most:
                    raise TooManyGuesses(math.ceil(times[-most] + WINDOW_SECONDS - now))
            if hmac.compare_digest(_digest(given), self._digest):
                return True
            self._wrong.append((now, source))
            return False


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
            self._ends[_digest(name)] = self._clock() + SESSION_SECONDS
            while len(self._ends) > MAX_SESSIONS:
                del self._ends[next(iter(self._ends))]
        return name

    def has(self, name: str) -> bool:
        """Whether a session goes on."""
        return self._clock() < self._ends.get(_digest(name), -math.inf)

    def end(self, name: str) -> None:
        """End a session."""
        with self._lock:
            self._ends.pop(_digest(name), None)


class Door:
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
            return refuse(environ, start, "429 Too Many Requests", str(error), error.header)
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
            return page(start, "429 Too Many Requests", target, str(error), error.header)
        self._sessions.end(_session(environ))
        cookie = _cookie(environ, self._sessions.begin(), SESSION_SECONDS)
        return redirect(start, target, cookie)

    def _log_out(self, environ: Environ, start: Start) -> list[bytes]:
        self._sessions.end(_session(environ))
        return redirect(start, LOGIN, _cookie(environ, "", 0))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _address(environ: Environ) -> str:
    return str(environ.get("REMOTE_ADDR", ""))


def _network(address: str) -> str:
    """What one guesser has: an IPv4 address, or the 2**64 addresses of an IPv6 network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


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
