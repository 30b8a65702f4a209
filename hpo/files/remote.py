"""Files at URLs: how their servers are reached, how long they may take, when they are asked again.

Owns the one rule of what is worth another try. The drivers' own retries are switched off where they
can be: theirs on top of ours would make minutes of what is to take seconds.
"""

import errno
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec import AbstractFileSystem

from hpo.config.urls import IN_USER, describe_error

T = TypeVar("T")

TRIES = 5
FIRST_SECONDS = 0.5
"""The longest wait before the second try; it doubles with each further one."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
"""How long a server may take to accept a connection, and how long it may be silent in one."""
SILENT_TRIES = 2
"""How often a server is asked that is silent for so long: a connection may have got lost unseen."""
CHUNK_BYTES = 16 * 2**20
N_CHUNKS = 4
"""What is in memory at once of a large file on its way; of one on its way up it is 200 MB."""

PASSING = {
    *("ConnectionError", "TimeoutError", "Timeout"),  # Python's, botocore's and requests'
    *("HTTPClientError", "IncompleteReadError", "ResponseStreamingError"),  # botocore's others
    "FlexibleChecksumError",
    *("ClientConnectionError", "ClientPayloadError"),  # aiohttp's
    *("FSTimeoutError", "ChunkedEncodingError", "TransportError", "ChecksumError"),
}
"""Names of errors that may be over in a moment; to import them would take seconds."""
PASSING_NUMBERS = {
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET),
    *(errno.EBUSY, errno.EREMOTEIO, errno.EIO),  # what s3fs makes of 503, 500 and other codes
}
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""What only the local disk can say while a file is fetched to it."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""What of ours brings the driver of a scheme along."""


def is_remote(url: str) -> bool:
    """Whether a URL or path leads away from this machine's files."""
    return "://" in url and not url.startswith(("file://", "local://"))


def file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """What reaches a URL, and the path in it.

    Raises:
        ValueError: its scheme is unknown, or it holds what it must not.
        ImportError: it needs a package that is not installed.
        Exception: of a driver that connects at once.
    """
    scheme = url.partition("://")[0]
    if scheme in ("s3", "s3a") and IN_USER.search(url):
        raise ValueError(
            "the URL must hold no key: give it by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "by a profile"
        )
    try:
        system, path = fsspec.core.url_to_fs(url, **_options(scheme))
    except ImportError as error:
        hint = f" (pip install 'hpo[{EXTRAS[scheme]}]')" if scheme in EXTRAS else ""
        raise ImportError(f"{error}{hint}") from None
    if scheme in ("s3", "s3a"):
        system.retries = 1
    return system, path


def is_passing(error: BaseException) -> bool:
    """Whether an error of any driver may be over in a moment; what is refused or missing is not."""
    if PASSING & {kind.__name__ for kind in type(error).__mro__}:
        return True
    if (status := _status(error)) is not None:
        return status in PASSING_STATUS
    return isinstance(error, OSError) and error.errno in PASSING_NUMBERS


def retried(
    call: Callable[[], T],
    tries: int = TRIES,
    passing: Callable[[Exception], bool] = is_passing,
) -> T:
    """Call a function, again after a wait when it fails by what may pass.

    Args:
        call: does the same whether it is called once or twice.
        tries: how often at most.
        passing: which errors may pass.
    """
    longest = FIRST_SECONDS
    for n_tried in range(1, tries):
        try:
            return call()
        except Exception as error:
            if (n_tried >= SILENT_TRIES and _is_silence(error)) or not passing(error):
                raise
        time.sleep(random.uniform(0.5, 1.0) * longest)
        longest *= 2
    return call()


class RetryPolicy:
    """Calls of one server: tried again when they fail by what may pass.

    While the server is away, each call is one try: whoever goes on without it is not held up, and
    has a patience of its own.
    """

    def __init__(self, url: str) -> None:
        """To the server of a URL."""
        self._url = url
        self._away = ""
        self._is_hurried = False

    def ask(self, call: Callable[[], T], passing: Callable[[Exception], bool]) -> T:
        """Call a function as `retried` does."""
        if self._is_hurried and self._away:
            raise ConnectionError(self._away)
        try:
            tries = 1 if self._away else TRIES
            result = retried(call, tries, lambda e: passing(e) and not self._is_hurried)
        except Exception as error:
            self._away = describe_error(error, self._url) if is_passing(error) else ""
            raise
        self._away = ""
        return result

    def hurry(self) -> None:
        """From now on try once, and a server that is away not at all: it may be silent for long."""
        self._is_hurried = True


@contextmanager
def downloaded(url: str) -> Iterator[Path]:
    """A file's copy in a temporary folder, fetched by chunks, for as long as it is needed.

    Raises:
        Exception: of whatever kind the driver has, once trying again is of no use.
    """
    system, path = file_system(url)
    with tempfile.TemporaryDirectory(prefix="hpo-") as folder:
        file = Path(folder, "download")
        retried(lambda: system.get_file(path, str(file)))
        yield file


def _options(scheme: str) -> dict[str, Any]:
    """What a driver is told: our timeouts, and to leave retries to us; a user's settings win."""
    match scheme:
        case "s3" | "s3a":
            own = fsspec.config.conf.get(scheme, {})
            timeouts = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
            retries = {"retries": {"total_max_attempts": 1}}
            return {
                "config_kwargs": {**timeouts, **retries, **own.get("config_kwargs", {})},
                "default_block_size": own.get("default_block_size", CHUNK_BYTES),
                "max_concurrency": own.get("max_concurrency", N_CHUNKS),
            }
        case "http" | "https":
            return {"client_kwargs": _aiohttp_options(scheme, "client_kwargs")}
        case "gs" | "gcs":
            return {"session_kwargs": _aiohttp_options(scheme, "session_kwargs")}
    return {}


def _aiohttp_options(scheme: str, key: str) -> dict[str, Any]:
    """Without a limit on the whole: a large file takes its time."""
    from aiohttp import ClientTimeout

    own = fsspec.config.conf.get(scheme, {}).get(key, {})
    limits = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    return {"timeout": limits, **own}


def _is_silence(error: Exception) -> bool:
    return any("Timeout" in kind.__name__ for kind in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error tells of, or botocore's behind what s3fs made of it."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return None if found is None else int(found)
    found = getattr(error, "status", None)
    if found is None:
        found = getattr(error, "code", None)
    return int(str(found)) if str(found).isdecimal() else None
