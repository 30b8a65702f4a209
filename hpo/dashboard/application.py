"""The WSGI application: optuna-dashboard with a guard, a login, files and a toolbar.

A request passes, from the outside in: the guard, the login, the restriction of changes, the check
of requests, the files of trials, the toolbar, the compression, the kept trials, the changed
program, and optuna-dashboard.
"""

import gzip
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import optuna_dashboard

from hpo.config.errors import HpoError
from hpo.dashboard.bundle import serve_bundle
from hpo.dashboard.checks import check_requests
from hpo.dashboard.detail import serve_details
from hpo.dashboard.guard import guard, restrict_changes
from hpo.dashboard.login import HOME, LOGOUT, Login
from hpo.dashboard.responses import API, Header, call, refuse, respond
from hpo.dashboard.view import DashboardStorage

MIN_BYTES = 100_000
"""Size of a JSON response from which it is compressed."""

_ARTIFACTS = "/artifacts/"
_FILE = re.compile(
    rf"{_ARTIFACTS}(?P<study>[0-9]{{1,18}})/(?P<trial>[0-9]{{1,18}})/(?P<file>[0-9a-f-]+)"
)
_SANDBOX: Header = ("Content-Security-Policy", "default-src 'none'; sandbox")
"""A browser that opens a file as a page runs no scripts of it."""

_STYLE = (
    "<style>#hpo-toolbar{position:fixed;right:16px;top:15px;z-index:1300;display:flex;gap:16px;"
    "align-items:center;height:34px;font:500 14px Roboto,system-ui,sans-serif;color:#fff}"
    "#hpo-toolbar button{height:34px;padding:0 12px;border-radius:4px;font:inherit;color:inherit;"
    "background:rgba(0,0,0,.25);border:1px solid #fff;cursor:pointer}"
    "@media(max-width:600px){#hpo-toolbar>span{display:none}}</style>"
)
_LOG_OUT = f'<form method="post" action="{LOGOUT}"><button type="submit">Log out</button></form>'


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of the dashboard.

    Attributes:
        host: address or name to listen on.
        port: TCP port; 0 for any free port.
        password: password of the login, if any; required unless the host is loopback.
        certificate: PEM file of the TLS certificate, if TLS is used.
        key: PEM file of its private key.
        read_only: whether to refuse every change.
        allowed_hosts: further names of the server, for example those of proxies.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    password: str | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None
    read_only: bool = False
    allowed_hosts: tuple[str, ...] = ()


def application(view: DashboardStorage, settings: ServerSettings) -> WSGIApplication:
    """Return the WSGI application of the dashboard."""
    app = serve_bundle(optuna_dashboard.wsgi(view, artifact_store=_NoStore()))
    app = compress_json(serve_details(app, view))
    toolbar = "<span>Read-only</span>" if settings.read_only else ""
    toolbar += _LOG_OUT if settings.password else ""
    if toolbar:
        app = add_toolbar(app, toolbar)
    app = check_requests(serve_files(app, view), view)
    app = restrict_changes(app, view, read_only=settings.read_only)
    if settings.password:
        app = Login(app, settings.password)
    own = {settings.host, "localhost", socket.gethostname(), socket.getfqdn()}
    return guard(app, own | set(settings.allowed_hosts))


def compress_json(app: WSGIApplication) -> WSGIApplication:
    """Compress large JSON responses, such as a list of thousands of studies.

    The JSON must hold no secrets: the size of a compressed response may reveal them.
    """

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        accepted = environ.get("HTTP_ACCEPT_ENCODING", "")
        if "gzip" not in accepted or not environ["PATH_INFO"].startswith(API):
            return app(environ, start)
        status, headers, body = call(app, environ)
        if len(body) >= MIN_BYTES and "Content-Encoding" not in headers:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(body))
        start(status, headers.items())
        return [body]

    return middleware


def add_toolbar(app: WSGIApplication, html: str) -> WSGIApplication:
    """Add HTML to the end of the bar at the top of optuna-dashboard's page."""
    toolbar = f'{_STYLE}<div id="hpo-toolbar">{html}</div></body>'.encode()

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        is_page = f"{environ['PATH_INFO']}/".startswith(f"{HOME}/")
        if environ["REQUEST_METHOD"] != "GET" or not is_page:
            return app(environ, start)
        for condition in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"):
            environ.pop(condition, None)  # they refer to the page without the toolbar
        status, headers, body = call(app, environ)
        page = body.replace(b"</body>", toolbar)
        headers["Content-Length"] = str(len(page))
        start(status, headers.items())
        return [page]

    return middleware


def serve_files(app: WSGIApplication, view: DashboardStorage) -> WSGIApplication:
    """Serve the files of trials; browsers save them and never open them as a page."""

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(_ARTIFACTS) or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return app(environ, start)
        ids = _FILE.fullmatch(path)
        try:
            found = ids and view.read_file(int(ids["study"]), int(ids["trial"]), ids["file"])
        except HpoError as error:
            return refuse(environ, start, "503 Service Unavailable", str(error), _SANDBOX)
        if found is None:
            return refuse(environ, start, "404 Not Found", "There is no such file.", _SANDBOX)
        file, content = found
        # the page shows images, which need their own type
        is_image = file.media_type.startswith("image/")
        content_type = file.media_type if is_image else "application/octet-stream"
        disposition = ("Content-Disposition", f'attachment; filename="{file.name}"')
        return respond(start, "200 OK", content, content_type, disposition, _SANDBOX)

    return middleware


class _NoStore:
    """An empty artifact store: without one optuna-dashboard shows no files.

    `serve_files` answers requests for files, and `restrict_changes` refuses uploads.
    """

    def remove(self, artifact_id: str) -> None:
        """Do nothing, as there is no file."""
