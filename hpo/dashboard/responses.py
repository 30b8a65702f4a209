"""What a WSGI application says by itself: short texts, pages, ways to elsewhere."""

import json
from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]
App = Callable[[Environ, Start], Iterable[bytes]]
Header = tuple[str, str]

API = "/api/"
"""Where optuna-dashboard's page asks for JSON, and shows the `reason` of a refusal."""


def respond(
    start: Start, status: str, body: bytes, content_type: str, *headers: Header
) -> list[bytes]:
    """One whole answer."""
    own = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start(status, [*own, *headers])
    return [body]


def refuse(
    environ: Environ, start: Start, status: str, sentence: str, *headers: Header
) -> list[bytes]:
    """Say in a sentence why not, in the form that optuna-dashboard's page or a person reads."""
    if environ["PATH_INFO"].startswith(API):
        body = json.dumps({"reason": sentence}).encode()
        return respond(start, status, body, "application/json", *headers)
    body = f"{sentence}\n".encode()
    return respond(start, status, body, "text/plain; charset=utf-8", *headers)


def redirect(start: Start, address: str, *headers: Header) -> list[bytes]:
    """Send the browser elsewhere on this server, to read there."""
    return respond(start, "303 See Other", b"", "text/plain", ("Location", address), *headers)
