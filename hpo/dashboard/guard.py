"""The guard: refuses requests of other web pages, and changes that the dashboard may not make.

optuna-dashboard trusts every request, so any web page in a browser could change the studies. The
guard refuses requests under another host name, because a page may point its own name at this
address (DNS rebinding), and changes from another page (cross-site request forgery). Its headers
keep responses out of frames, other sites and caches.

It allows notes and new studies. Other changes to a study of hpo have a command, which keeps rows,
leases and weights consistent: optuna-dashboard would rename a study by copying half of it, and
delete a study while its workers run. Studies of other programs may be changed.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from hpo.dashboard.responses import Header, refuse
from hpo.dashboard.view import DashboardStorage

_READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_STATIC = "/static/"
"""Path of files that are the same for everyone, and may be cached."""
_STUDY = re.compile(r"/api/studies/(?P<study>[0-9]{1,18})(?P<action>/.*)?")
_NOTE = re.compile(r"(/[0-9]{1,18})?/note")


def guard(app: WSGIApplication, allowed_hosts: Iterable[str]) -> WSGIApplication:
    """Refuse requests under another host name or from another web page.

    Args:
        app: the application to protect.
        allowed_hosts: names of the server, without a port. IP addresses are always allowed.
    """
    allowed = frozenset(name.lower() for name in allowed_hosts)

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start = _add_security_headers(environ, start)
        path = environ["PATH_INFO"]
        if not (
            path.isascii() and path.isprintable()
        ):  # the application would decode it differently
            return refuse(environ, start, "400 Bad Request", "There is no such address here.")
        if "HTTP_TRANSFER_ENCODING" in environ:  # no page sends a body of unknown length
            reason = "A request must state the length of its body."
            return refuse(environ, start, "411 Length Required", reason)
        if not _is_host_allowed(environ, allowed):
            reason = "This server has another name; --allow-host adds one."
            return refuse(environ, start, "403 Forbidden", reason)
        if environ["REQUEST_METHOD"] not in _READ_METHODS and not _is_same_origin(environ):
            return refuse(environ, start, "403 Forbidden", "Another page sent this request.")
        return app(environ, start)

    return middleware


def restrict_changes(
    app: WSGIApplication, view: DashboardStorage, *, read_only: bool
) -> WSGIApplication:
    """Refuse all changes, or those that would make a study of hpo inconsistent."""

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READ_METHODS:
            return app(environ, start)
        path = environ["PATH_INFO"].rstrip("/")  # as optuna-dashboard does
        reason = "This dashboard is read-only." if read_only else _why_refused(view, path)
        if reason is None:
            return app(environ, start)
        return refuse(environ, start, "403 Forbidden", reason)

    return middleware


def _is_host_allowed(environ: WSGIEnvironment, allowed: frozenset[str]) -> bool:
    """Check the Host header; a rebinding page has a name, so that IP addresses are safe."""
    try:
        name = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
        if name not in allowed:
            ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_origin(environ: WSGIEnvironment) -> bool:
    """Check the headers that name the page of a request; every browser sends one of them."""
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site not in (None, "same-origin"):
        return False
    if origin is None:
        return True
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    # a proxy may speak TLS where this server does not, but not the other way round
    is_scheme = page.scheme in ("https", environ["wsgi.url_scheme"])
    return is_scheme and page.netloc.lower() == environ["HTTP_HOST"].lower()


def _add_security_headers(environ: WSGIEnvironment, start: StartResponse) -> StartResponse:
    """Wrap `start_response` so that it sends the headers that keep other sites and caches out."""

    def start_safely(status: str, headers: list[Header], *error: Any) -> Any:
        changed = Headers(headers)
        del changed["Access-Control-Allow-Origin"]
        for name, value in _SECURITY_HEADERS.items():
            changed[name] = value
        if not environ["PATH_INFO"].startswith(_STATIC):
            changed["Cache-Control"] = "no-store"
        return start(status, changed.items(), *error)

    return start_safely


def _why_refused(view: DashboardStorage, path: str) -> str | None:
    """Return why a change is refused; None if it is allowed."""
    if path == "/api/studies":
        return None
    if (match := _STUDY.fullmatch(path)) is None:
        return "This dashboard changes no trials and keeps no files: workers do."
    try:
        row = view.row(int(match["study"]))
    except KeyError:
        return None  # optuna-dashboard reports it
    action = match["action"] or ""
    if not row.is_ours or _NOTE.fullmatch(action):
        return None
    if not action:
        return f"hpo delete {row.name} deletes the study, with its weights."
    if action == "/rename":
        return f"Study {row.name} keeps its name, by which its workers know it."
    return f"Study {row.name} is changed by its workers, and by hpo's commands."
