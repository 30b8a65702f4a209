"""The dashboard's server: where it listens, with TLS or without, and what stands before the app.

From the outside in: the guard (own name, own pages), the login, what may be changed, the files of
trials, and optuna-dashboard.
"""

import ipaddress
import logging
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna_dashboard
from cheroot.makefile import MakeFile
from cheroot.ssl import Adapter
from cheroot.wsgi import Server
from optuna.artifacts.exceptions import ArtifactNotFound

from hpo.config.errors import InputError
from hpo.dashboard.application import compressed
from hpo.dashboard.changes import restrained
from hpo.dashboard.corner import cornered
from hpo.dashboard.downloads import downloads
from hpo.dashboard.guard import guarded
from hpo.dashboard.interrupts import ctrl_c
from hpo.dashboard.login import Login
from hpo.dashboard.responses import App
from hpo.dashboard.view import DashboardStorage
from hpo.files.store import ArtifactStore
from hpo.storage.engine import open_storage

log = logging.getLogger(__name__)

N_THREADS = 16
IDLE_SECONDS = 20
"""For which a client may say nothing in the middle of a request."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How the dashboard is served.

    Attributes:
        host: address or name to listen on.
        port: TCP port; 0 takes a free one.
        password: asked for when set; required beyond loopback.
        certificate: a PEM file, for TLS, with the private key in `key`.
        read_only: whether every change is refused.
        allowed_hosts: names by which proxies call the server, beside its own.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    password: str | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None
    read_only: bool = False
    allowed_hosts: tuple[str, ...] = ()


def serve(storage_url: str, store: ArtifactStore | None, settings: ServerSettings) -> None:
    """Serve the dashboard of a storage until interrupted.

    Args:
        storage_url: an existing storage; a dashboard does not create one.
        store: where weights are; without one, trials offer none.
        settings: how.

    Raises:
        InputError: the address is none of this machine or taken, or is open to others without a
            password; the certificate or its key is none.
        StorageError: there is no such storage, or it is out of reach.
    """
    address = _resolve(settings.host, settings.port)
    context = _tls(settings.certificate, settings.key)
    is_open = not ipaddress.ip_address(address).is_loopback
    if is_open and not settings.password:
        raise InputError(
            f"--host {settings.host} lets other machines in: set a password by --password-file or "
            "in the environment variable HPO_DASHBOARD_PASSWORD, or leave --host out"
        )
    view = DashboardStorage(open_storage(storage_url, create=False), store)
    app = application(view, settings)
    with (
        ctrl_c() as interrupt,
        listening(app, address, settings.port, context) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        shown = f"[{address}]" if ":" in address else address
        scheme = "http" if context is None else "https"
        print(f"{scheme}://{shown}:{server.bind_addr[1]}/dashboard/ (Ctrl-C ends it)", flush=True)
        if is_open and context is None:
            print(
                "hpo: without --tls-cert the password and all pages travel in the open, for "
                "everybody on the way to read",
                file=sys.stderr,
            )
        serving = threads.submit(server.serve)
        serving.add_done_callback(lambda _: interrupt.come())
        interrupt.wait()
        server.stop()
        serving.result()


def application(view: DashboardStorage, settings: ServerSettings) -> App:
    """All that is served, as one WSGI application."""
    app: App = compressed(optuna_dashboard.wsgi(view, artifact_store=_NoStore()))
    app = cornered(app, read_only=settings.read_only, has_login=bool(settings.password))
    app = restrained(downloads(app, view), view, read_only=settings.read_only)
    if settings.password:
        app = Login(app, settings.password)
    own = {settings.host, "localhost", socket.gethostname(), socket.getfqdn()}
    return guarded(app, own | set(settings.allowed_hosts))


@contextmanager
def listening(
    app: App, address: str, port: int, context: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """A server that is bound and listens; `serve` serves until it is interrupted or stopped.

    Raises:
        InputError: the port is taken or not for this user.
    """
    os.environ.pop("LISTEN_PID", None)  # else cheroot would take a socket over, wherever it is open
    server = _Server(
        (address, port), app, numthreads=N_THREADS, timeout=IDLE_SECONDS, shutdown_timeout=1
    )
    server.ssl_adapter = None if context is None else _Tls(context)
    server.prepare()
    try:
        yield server
    finally:
        server.stop()


class _Server(Server):
    """Quiet about requests and what clients do wrong; a bug keeps its traceback."""

    max_request_header_size = 64 * 1024
    max_request_body_size = 1024 * 1024  # a note

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """Take the address, or say why not; cheroot would say more, and leave the socket open."""
        try:
            socket_.bind(bind_addr)
        except OSError as error:
            socket_.close()
            address, port = bind_addr[:2]
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"cannot listen on port {port} of {address}: {reason}; choose another by --port"
            ) from None
        return socket_

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log what went wrong."""
        is_clients = isinstance(sys.exc_info()[1], OSError)
        log.log(logging.DEBUG if is_clients else level, "%s", msg, exc_info=traceback)


class _Tls(Adapter):
    """TLS whose handshake is the connection's own thread's: an idle client holds nobody up."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def bind(self, sock: socket.socket) -> socket.socket:
        """The listening socket needs nothing."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """A connection, its handshake yet to come, and what applications are told of it."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, self.get_environ()

    def get_environ(self) -> dict[str, str]:
        """What applications are told of it."""
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: socket.socket, mode: str = "r", bufsize: int = -1) -> Any:
        """The connection as a file."""
        return MakeFile(sock, mode, bufsize)


class _NoStore:
    """optuna-dashboard shows files only where it has a store; the files are given out before it."""

    def open_reader(self, artifact_id: str) -> Any:
        """Nothing is there."""
        raise ArtifactNotFound(artifact_id)

    def write(self, artifact_id: str, content_body: Any) -> None:
        """Nothing is kept."""
        raise ArtifactNotFound(artifact_id)

    def remove(self, artifact_id: str) -> None:
        """Nothing is there."""


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InputError("--tls-cert and --tls-key need each other: name both, or neither")
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise InputError(f"{option} {path}: cannot be read ({error.strerror})") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # else it would ask
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise InputError(
            f"--tls-cert {certificate} and --tls-key {key}: must be a PEM certificate and its "
            f"unencrypted private key ({reason.replace('_', ' ').lower()})"
        ) from None
    return context


def _resolve(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise InputError(
            f'--host must be an address or a name of this machine, but got "{host}"'
        ) from None
    return str(found[4][0])
