"""What is added to optuna-dashboard's page: that it only reads, and a button to log out."""

from collections.abc import Iterable
from typing import Any

from hpo.dashboard.login import HOME, LOGOUT
from hpo.dashboard.responses import App, Environ, Header, Start

STYLE = (
    "<style>#hpo-corner{position:fixed;right:16px;top:15px;z-index:1300;display:flex;gap:16px;"
    "align-items:center;height:34px;font:500 14px Roboto,system-ui,sans-serif;color:#fff}"
    "#hpo-corner button{height:34px;padding:0 12px;border-radius:4px;font:inherit;color:inherit;"
    "background:rgba(0,0,0,.25);border:1px solid #fff;cursor:pointer}"
    "@media(max-width:600px){#hpo-corner>span{display:none}}</style>"
)
"""In the bar at the top, whose end is free."""
LOG_OUT = f'<form method="post" action="{LOGOUT}"><button type="submit">Log out</button></form>'
READ_ONLY = "<span>Read-only</span>"


def cornered(app: App, *, read_only: bool, has_login: bool) -> App:
    """Add to the application's page what holds of this server; nothing where nothing does."""
    said = (READ_ONLY if read_only else "") + (LOG_OUT if has_login else "")
    if not said:
        return app
    corner = f'{STYLE}<div id="hpo-corner">{said}</div></body>'.encode()

    def add(environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] != "GET" or not f"{path}/".startswith(f"{HOME}/"):
            return app(environ, start)
        for condition in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"):
            environ.pop(condition, None)  # they are about the page without the corner
        answer: list[Any] = []
        parts = app(environ, lambda *given: answer.extend(given[:2]))
        try:
            page = b"".join(parts).replace(b"</body>", corner)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        status, headers = answer
        own: list[Header] = [("Content-Length", str(len(page)))]
        kept = [header for header in headers if header[0].lower() not in DROPPED]
        start(status, [*kept, *own])
        return [page]

    return add


DROPPED = frozenset({"content-length", "etag", "last-modified", "accept-ranges"})
