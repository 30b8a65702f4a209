"""optuna-dashboard behind a guard: who may look, from which page, under which name.

optuna-dashboard has no login and trusts every request. On this machine alone that still lets any
web page a browser has open act on the studies, so the guard refuses

- a Host that is not this server's (a page that points its own name at this address: DNS rebinding),
- a missing or wrong password, where one is set (HTTP Basic; any user name),
- a request that changes something and comes from another page (cross-site request forgery),

and sees to it that what it serves is neither framed, nor read by other sites, nor run when it is
an artifact. There is no TLS: beyond a trusted network, put it behind a proxy or an SSH tunnel.

Does not know: what the studies hold.
"""

import base64
import binascii
import hmac
import ipaddress
import socket
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import optuna
import optuna_dashboard

from hpo.errors import HpoError, InputError
from hpo.storage.engine import open_storage

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Header = tuple[str, str]

PASSWORD_VARIABLE = "HPO_DASHBOARD_PASSWORD"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
SAFE: tuple[Header, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
)
AS_DOWNLOAD: tuple[Header, ...] = (
    ("Content-Type", "application/octet-stream"),
    ("Content-Disposition", "attachment"),
)


def serve(storage_url: str, host: str, port: int, password: str | None) -> None:
    """Serve the dashboard of a storage until interrupted.

    Args:
        storage_url: an existing storage; a dashboard does not create one.
        host: address or name to listen on.
        port: TCP port; 0 takes a free one.
        password: asked for when set; required beyond loopback.

    Raises:
        InputError: the address is none of this machine, or is open to others without a password.
        StorageError: there is no such storage, or it is out of reach.
        HpoError: the port cannot be had.
    """
    family, address = _resolve(host, port)
    loopback = ipaddress.ip_address(address).is_loopback
    if not loopback and not password:
        raise InputError(
            f"--host {host} lets other machines in: set a password in the environment "
            f"variable {PASSWORD_VARIABLE}, or leave --host out"
        )
    storage = open_storage(storage_url, create=False)
    names = {host, "localhost", socket.gethostname(), socket.getfqdn()}
    app = application(storage.plain, names, password or None)
    with listen(app, family, address, port) as server:
        shown = f"[{address}]" if family is socket.AF_INET6 else address
        print(f"http://{shown}:{server.server_port}/dashboard/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def application(
    storage: optuna.storages.BaseStorage, allowed_hosts: Iterable[str], password: str | None
) -> App:
    """The dashboard of a storage as a guarded WSGI application.

    Args:
        storage: kept in a cache of finished trials, so that a page's refreshes stay cheap.
        allowed_hosts: names, without a port, by which the server may be called beside addresses.
        password: asked for when set.
    """
    cached = optuna.storages.get_storage(storage)
    return guarded(optuna_dashboard.wsgi(cached), allowed_hosts, password)


def guarded(app: App, allowed_hosts: Iterable[str], password: str | None) -> App:
    """Put the guard of this module's docstring before a WSGI application."""
    allowed = frozenset(name.lower() for name in allowed_hosts)

    def guard(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _host_allowed(environ, allowed):
            return _refuse(start_response, "403 Forbidden", "This server has another name.")
        if password is not None and not _knows(environ, password):
            challenge = ("WWW-Authenticate", 'Basic realm="hpo", charset="UTF-8"')
            return _refuse(start_response, "401 Unauthorized", "A password is needed.", challenge)
        if environ["REQUEST_METHOD"] not in READING and not _same_origin(environ):
            return _refuse(start_response, "403 Forbidden", "Another page sent this request.")
        return app(environ, _safely(environ, start_response))

    return guard


def listen(app: App, family: socket.AddressFamily, address: str, port: int) -> WSGIServer:
    """A threaded HTTP server that is bound and listens, but does not serve yet.

    Raises:
        HpoError: the port is taken or not for this user.
    """
    kind = type("Server", (_Server,), {"address_family": family})
    try:
        server: WSGIServer = kind((address, port), _Handler)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise HpoError(
            f"cannot listen on port {port} of {address}: {reason}; choose another by --port"
        ) from None
    server.set_app(app)
    return server


class _Server(ThreadingMixIn, WSGIServer):
    """One thread a connection; none of them keeps the process alive."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    """Quiet, and not held up for ever by a client that sends nothing."""

    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: a page refreshes itself every few seconds."""


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise InputError(
            f'--host must be an address or a name of this machine, but got "{host}"'
        ) from None
    return found[0], str(found[4][0])


def _host_allowed(environ: dict[str, Any], allowed: frozenset[str]) -> bool:
    """A page can point its name at any address, but cannot be called by a bare address."""
    try:
        name = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
    except ValueError:  # brackets around no address
        return False
    return name in allowed or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _knows(environ: dict[str, Any], password: str) -> bool:
    scheme, _, encoded = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        _, _, given = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(given, password.encode())


def _same_origin(environ: dict[str, Any]) -> bool:
    """Browsers say where a request comes from; what says nothing is no browser."""
    site = environ.get("HTTP_SEC_FETCH_SITE", "same-origin")
    origin, here = environ.get("HTTP_ORIGIN"), environ["HTTP_HOST"]
    return site == "same-origin" and (origin is None or urlsplit(origin).netloc == here)


def _safely(environ: dict[str, Any], start_response: Callable[..., Any]) -> Callable[..., Any]:
    """`start_response` with the headers that a browser needs to keep others out."""
    forced = SAFE + (AS_DOWNLOAD if environ["PATH_INFO"].startswith("/artifacts/") else ())
    dropped = {"access-control-allow-origin", *(name.lower() for name, _ in forced)}

    def start(status: str, headers: list[Header], *error: Any) -> Any:
        kept = [header for header in headers if header[0].lower() not in dropped]
        return start_response(status, [*kept, *forced], *error)

    return start


def _refuse(
    start_response: Callable[..., Any], status: str, text: str, *headers: Header
) -> list[bytes]:
    body = f"{text}\n".encode()
    plain = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, [*plain, *SAFE, *headers])
    return [body]
