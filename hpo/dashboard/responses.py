"""WSGI responses: texts, refusals and redirects, and the response of another application."""

import json
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

Header = tuple[str, str]

API = "/api/"
"""Path of the JSON that optuna-dashboard's page requests. It shows the `reason` of an error."""


def respond(
    start: StartResponse, status: str, body: bytes, content_type: str, *headers: Header
) -> list[bytes]:
    """Send a response."""
    own = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start(status, [*own, *headers])
    return [body]


def refuse(
    environ: WSGIEnvironment, start: StartResponse, status: str, reason: str, *headers: Header
) -> list[bytes]:
    """Send an error and its reason: JSON for optuna-dashboard's page, plain text otherwise."""
    if environ["PATH_INFO"].startswith(API):
        body = json.dumps({"reason": reason}).encode()
        return respond(start, status, body, "application/json", *headers)
    return respond(start, status, f"{reason}\n".encode(), "text/plain; charset=utf-8", *headers)


def redirect(start: StartResponse, path: str, *headers: Header) -> list[bytes]:
    """Redirect the browser to a path of this server."""
    return respond(start, "303 See Other", b"", "text/plain", ("Location", path), *headers)


def call(app: WSGIApplication, environ: WSGIEnvironment) -> tuple[str, Headers, bytes]:
    """Return the status, the headers and the whole body of an application's response."""
    started: list[tuple[str, list[Header]]] = []
    parts = app(environ, lambda status, headers, *_: started.append((status, headers)))  # type: ignore[arg-type]
    try:
        body = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    status, headers = started[-1]
    return status, Headers(headers), body
