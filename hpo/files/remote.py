"""Remote files: fsspec drivers for URLs, their timeouts, and retries.

Owns the rule of which errors are transient. The drivers' own retries are switched off where
possible: multiplied with ours, seconds would become minutes.
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
"""Longest wait before the second try; it doubles with each further one."""
_CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
"""Timeouts: to accept a connection, and of silence within one."""
SILENT_TRIES = 2
"""Tries after a timeout; the second is for a connection that was lost without notice."""
_CHUNK_BYTES = 16 * 2**20
_N_CHUNKS = 4
"""Chunks of a download in memory at once. An upload takes up to 200 MB."""

_TRANSIENT_ERRORS = {
    *("ConnectionError", "TimeoutError", "Timeout"),  # Python's, botocore's and requests'
    *("HTTPClientError", "IncompleteReadError", "ResponseStreamingError"),  # botocore's others
    "FlexibleChecksumError",
    *("ClientConnectionError", "ClientPayloadError"),  # aiohttp's
    *("FSTimeoutError", "ChunkedEncodingError", "TransportError", "ChecksumError"),
}
"""Class names of transient errors; importing the classes would take seconds."""
_TRANSIENT_ERRNOS = {
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ETIMEDOUT),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET),
    *(errno.EBUSY, errno.EREMOTEIO, errno.EIO),  # s3fs raises these for 503, 500 and others
}
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Errors of the local disk while a file is downloaded to it."""
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of this package that installs the driver of a scheme."""


def is_remote(url: str) -> bool:
    """Whether a URL or path refers to something else than a local file."""
    return "://" in url and not url.startswith(("file://", "local://"))


def file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path in it.

    Raises:
        ValueError: the scheme is unknown, or the URL contains a key.
        ImportError: the driver is not installed.
        Exception: from a driver that connects at once.
    """
    scheme = url.partition("://")[0]
    if scheme in ("s3", "s3a") and IN_USER.search(url):
        raise ValueError(
            "the URL must not contain a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "use a profile"
        )
    try:
        system, path = fsspec.core.url_to_fs(url, **_options(scheme))
    except ImportError as error:
        hint = f" (pip install 'hpo[{_EXTRAS[scheme]}]')" if scheme in _EXTRAS else ""
        raise ImportError(f"{error}{hint}") from None
    if scheme in ("s3", "s3a"):
        system.retries = 1
    return system, path


def is_transient(error: BaseException) -> bool:
    """Whether a driver's error may soon be over; a missing file or a refusal is not."""
    if _TRANSIENT_ERRORS & {kind.__name__ for kind in type(error).__mro__}:
        return True
    if (status := _status(error)) is not None:
        return status in _TRANSIENT_STATUS
    return isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS


def retry(
    call: Callable[[], T],
    tries: int = TRIES,
    transient: Callable[[Exception], bool] = is_transient,
) -> T:
    """Call a function, and again after a wait while it fails with a transient error.

    Five tries take up to about eight seconds.

    Args:
        call: an idempotent function.
        tries: maximum number of calls.
        transient: whether an error is worth another call.
    """
    longest = FIRST_SECONDS
    for n_tried in range(1, tries):
        try:
            return call()
        except Exception as error:
            if (n_tried >= SILENT_TRIES and _is_timeout(error)) or not transient(error):
                raise
        time.sleep(random.uniform(0.5, 1.0) * longest)
        longest *= 2
    return call()


class RetryPolicy:
    """Retries the calls to one server.

    While the server is away, each call is tried once: the callers have a patience of their own and
    need not wait here as well.
    """

    def __init__(self, url: str) -> None:
        """Retry calls to the server of `url`."""
        self._url = url
        self._away = ""
        self._is_hurried = False

    def call(self, function: Callable[[], T], transient: Callable[[Exception], bool]) -> T:
        """Call a function as `retry` does."""
        if self._is_hurried and self._away:
            raise ConnectionError(self._away)
        try:
            tries = 1 if self._away else TRIES
            result = retry(function, tries, lambda e: transient(e) and not self._is_hurried)
        except Exception as error:
            self._away = describe_error(error, self._url) if is_transient(error) else ""
            raise
        self._away = ""
        return result

    def hurry(self) -> None:
        """Stop retrying, and stop calling a server that is away: it may be silent for long."""
        self._is_hurried = True


@contextmanager
def downloaded(url: str) -> Iterator[Path]:
    """Download a file in chunks to a temporary folder, which is deleted after the block.

    Raises:
        Exception: from the driver, once retries have failed.
    """
    system, path = file_system(url)
    with tempfile.TemporaryDirectory(prefix="hpo-") as folder:
        file = Path(folder, "download")
        retry(lambda: system.get_file(path, str(file)))
        yield file


def _options(scheme: str) -> dict[str, Any]:
    """Options of a driver: timeouts, and no retries. Settings of fsspec's own files win."""
    match scheme:
        case "s3" | "s3a":
            own = fsspec.config.conf.get(scheme, {})
            timeouts = {"connect_timeout": _CONNECT_SECONDS, "read_timeout": READ_SECONDS}
            retries = {"retries": {"total_max_attempts": 1}}
            return {
                "config_kwargs": {**timeouts, **retries, **own.get("config_kwargs", {})},
                "default_block_size": own.get("default_block_size", _CHUNK_BYTES),
                "max_concurrency": own.get("max_concurrency", _N_CHUNKS),
            }
        case "http" | "https":
            return {"client_kwargs": _aiohttp_options(scheme, "client_kwargs")}
        case "gs" | "gcs":
            return {"session_kwargs": _aiohttp_options(scheme, "session_kwargs")}
    return {}


def _aiohttp_options(scheme: str, key: str) -> dict[str, Any]:
    """Timeouts of aiohttp, without a limit on the whole: a large file takes long."""
    from aiohttp import ClientTimeout

    own = fsspec.config.conf.get(scheme, {}).get(key, {})
    limits = ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=READ_SECONDS)
    return {"timeout": limits, **own}


def _is_timeout(error: Exception) -> bool:
    return any("Timeout" in kind.__name__ for kind in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    """HTTP status of an error, or of botocore's error that s3fs has replaced."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return None if found is None else int(found)
    found = getattr(error, "status", None)
    if found is None:
        found = getattr(error, "code", None)
    return int(str(found)) if str(found).isdecimal() else None
