"""JSON sent compressed: a study of thousands of trials is many megabytes of it, and a seventh so.

Nothing secret may be in it beside what a stranger can choose.
"""

import zlib
from collections.abc import Iterable
from typing import Any

from hpo.dashboard.responses import App, Environ, Header, Start

MIN_BYTES = 100_000
GZIP = 16 + zlib.MAX_WBITS
ENCODING: Header = ("Content-Encoding", "gzip")


def compressed(app: App) -> App:
    """Compress an application's large JSON for who takes it so."""

    def compress(environ: Environ, start: Start) -> Iterable[bytes]:
        if "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
            return app(environ, start)
        answer: list[Any] = []
        parts = app(environ, lambda *given: answer.extend(given[:2]))
        status, headers = answer
        named = {name.lower(): value for name, value in headers}
        is_json = named.get("content-type", "").startswith("application/json")
        if not is_json or int(named.get("content-length", 0)) < MIN_BYTES:
            start(status, headers)
            return parts
        packer = zlib.compressobj(1, wbits=GZIP)
        body = b"".join(map(packer.compress, parts)) + packer.flush()
        kept = [header for header in headers if header[0].lower() != "content-length"]
        start(status, [*kept, ENCODING, ("Content-Length", str(len(body)))])
        return [body]

    return compress
