"""The dashboard's server: its address, TLS, and Ctrl-C."""

import ipaddress
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from wsgiref.types import WSGIApplication

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

from hpo.config.errors import InputError
from hpo.dashboard.application import ServerSettings, application
from hpo.dashboard.view import DashboardStorage
from hpo.files.store import ArtifactStore
from hpo.storage.engine import open_storage

log = logging.getLogger(__name__)

_N_THREADS = 16
_IDLE_SECONDS = 20
"""Time after which a client that stops sending in the middle of a request is disconnected."""


def serve(storage_url: str, store: ArtifactStore | None, settings: ServerSettings) -> None:
    """Serve the dashboard of a storage until Ctrl-C.

    Args:
        storage_url: URL of an existing storage.
        store: artifact store; without one, trials offer no weights.
        settings: settings of the dashboard.

    Raises:
        InputError: the address does not belong to this machine, is in use, or is open to other
            machines without a password; or the certificate or its key is invalid.
        StorageError: the storage does not exist or cannot be reached.
    """
    address = _resolve(settings.host, settings.port)
    context = _tls_context(settings.certificate, settings.key)
    is_open = not ipaddress.ip_address(address).is_loopback
    if is_open and not settings.password:
        raise InputError(
            f"--host {settings.host} lets other machines in: set a password with --password-file "
            "or in the environment variable HPO_DASHBOARD_PASSWORD, or leave --host out"
        )
    view = DashboardStorage(open_storage(storage_url, create=False), store)
    app = application(view, settings)
    with (
        _blocked_sigint(),
        listening(app, address, settings.port, context) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        shown = f"[{address}]" if ":" in address else address
        scheme = "http" if context is None else "https"
        print(f"{scheme}://{shown}:{server.bind_addr[1]}/dashboard/ (Ctrl-C ends it)", flush=True)
        if is_open and context is None:
            print(
                "hpo: without --tls-cert the password and all pages are sent unencrypted; anyone "
                "on the way can read them",
                file=sys.stderr,
            )
        serving = threads.submit(server.serve)
        while not serving.done() and signal.sigtimedwait({signal.SIGINT}, 0.5) is None:
            pass
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a second one interrupts
        server.stop()
        serving.result()


@contextmanager
def listening(
    app: WSGIApplication, address: str, port: int, context: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Open a server that is bound to its port; its `serve` method serves until it is stopped.

    Raises:
        InputError: the port is in use, or this user may not use it.
    """
    os.environ.pop("LISTEN_PID", None)  # cheroot would take over a socket of systemd
    server = _Server(
        (address, port), app, numthreads=_N_THREADS, timeout=_IDLE_SECONDS, shutdown_timeout=1
    )
    server.ssl_adapter = None if context is None else _TlsAdapter(context)
    server.prepare()
    try:
        yield server
    finally:
        server.stop()


class _Server(Server):
    """Logs errors of clients at debug level only."""

    max_request_header_size = 64 * 1024
    max_request_body_size = 1024 * 1024  # a note

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """Bind the socket, or close it and report why it cannot be bound."""
        try:
            socket_.bind(bind_addr)
        except OSError as error:
            socket_.close()
            address, port = bind_addr[:2]
            reason = (error.strerror or str(error)).lower()
            raise InputError(
                f"cannot listen on port {port} of {address}: {reason}; choose another with --port"
            ) from None
        return socket_

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Log an error."""
        is_clients = isinstance(sys.exc_info()[1], OSError)
        log.log(logging.DEBUG if is_clients else level, "%s", msg, exc_info=traceback)


class _TlsAdapter(BuiltinSSLAdapter):
    """TLS with the handshake in the connection's own thread, so that idle clients block nobody."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """Return the connection before its handshake, and its WSGI variables."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


@contextmanager
def _blocked_sigint() -> Iterator[None]:
    """Block Ctrl-C in this thread and the threads that it starts.

    As a KeyboardInterrupt, Ctrl-C may be raised inside the code of a lock. The lock may then stay
    locked or lose a wake-up, and the server would never stop.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
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
        context.load_cert_chain(certificate, key, password=lambda: "")  # or OpenSSL would prompt
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
