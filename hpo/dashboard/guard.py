"""Which requests come from this server's own pages, under its own name.

optuna-dashboard trusts every request. On this machine alone that still lets any web page that a
browser has open act on the studies, so the guard refuses

- a Host that is not this server's (a page that points its own name at this address: DNS rebinding),
- a request that changes something and comes from another page (cross-site request forgery),

and sees to it that what is served is neither framed, nor read by other sites, nor kept by caches.
"""

import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from hpo.dashboard.changes import READING
from hpo.dashboard.responses import App, Environ, Header, Start, refuse

SAFE: tuple[Header, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
UNKEPT: Header = ("Cache-Control", "no-store")
STATIC = "/static/"
"""What is the same for everybody, and may be kept by caches."""


def guarded(app: App, allowed_hosts: Iterable[str]) -> App:
    """Put the guard before an application.

    Args:
        app: what is guarded.
        allowed_hosts: names, without a port, by which the server may be called beside addresses.
    """
    allowed = frozenset(name.lower() for name in allowed_hosts)

    def guard(environ: Environ, start: Start) -> Iterable[bytes]:
        safely = _safely(environ, start)
        if not environ["PATH_INFO"].isascii():  # the application would read it another way than we
            return refuse(environ, safely, "400 Bad Request", "No address here reads so.")
        if not _host_allowed(environ, allowed):
            sentence = "This server has another name; --allow-host adds one."
            return refuse(environ, safely, "403 Forbidden", sentence)
        if environ["REQUEST_METHOD"] not in READING and not _same_origin(environ):
            return refuse(environ, safely, "403 Forbidden", "Another page sent this request.")
        return app(environ, safely)

    return guard


def _host_allowed(environ: Environ, allowed: frozenset[str]) -> bool:
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


def _same_origin(environ: Environ) -> bool:
    """Browsers say where a request comes from; what says nothing is no browser."""
    site, origin = environ.get("HTTP_SEC_FETCH_SITE"), environ.get("HTTP_ORIGIN")
    if site not in (None, "same-origin"):
        return False
    if origin is None:
        return True
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    # a proxy before us may speak TLS where we do not, but not the other way round
    is_scheme = page.scheme in ("https", environ["wsgi.url_scheme"])
    return is_scheme and page.netloc.lower() == environ["HTTP_HOST"].lower()


def _safely(environ: Environ, start: Start) -> Start:
    """`start_response` with the headers that a browser needs to keep others out."""
    is_static = environ["PATH_INFO"].startswith(STATIC)
    forced = SAFE if is_static else (*SAFE, UNKEPT)
    dropped = {"access-control-allow-origin", *(name.lower() for name, _ in forced)}

    def safely(status: str, headers: list[Header], *error: Any) -> Any:
        kept = [header for header in headers if header[0].lower() not in dropped]
        return start(status, [*kept, *forced], *error)

    return safely
