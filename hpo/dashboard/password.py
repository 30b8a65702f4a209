"""The password of the dashboard, compared in constant time, with a limit on wrong guesses.

Wrong guesses are counted by address. Above the limit even the right password is refused.
"""

import hashlib
import hmac
import ipaddress
import math
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from hpo.config.errors import InputError

WINDOW_SECONDS = 60
MAX_WRONG, MAX_WRONG_IN_ALL = 10, 200
"""Wrong guesses allowed in a window, from one address and from all."""
Clock = Callable[[], float]


def read_password(file: Path | None, otherwise: str | None) -> str | None:
    """Read the password from a file, without the newline at its end.

    Args:
        file: the file, if any.
        otherwise: the password if there is no file.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    if file is None:
        return otherwise or None
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"--password-file {file}: cannot be read ({reason})") from None
    if not password:
        raise InputError(f"--password-file {file}: must hold a password, but is empty")
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        print(
            f"hpo: --password-file {file} can be read by other users: chmod 600 {file}",
            file=sys.stderr,
        )
    return password


class TooManyGuesses(Exception):
    """Too many wrong passwords were tried.

    Attributes:
        seconds: time until the next one may be tried.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong passwords: try again in {seconds} s.")
        self.seconds = seconds


class Password:
    """A password with a limit on wrong guesses."""

    def __init__(self, password: str, clock: Clock = time.monotonic) -> None:
        self._digest = digest(password)
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def is_right(self, given: str, address: str) -> bool:
        """Whether a guess is right.

        Args:
            given: the guess.
            address: IP address of the client.

        Raises:
            TooManyGuesses: too many guesses were wrong; this one was not compared.
        """
        source, now = _network(address), self._clock()
        with self._lock:
            while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
                self._wrong.popleft()
            every = [at for at, _ in self._wrong]
            own = [at for at, of in self._wrong if of == source]
            for times, limit in ((own, MAX_WRONG), (every, MAX_WRONG_IN_ALL)):
                if len(times) >= limit:
                    raise TooManyGuesses(math.ceil(times[-limit] + WINDOW_SECONDS - now))
            if hmac.compare_digest(digest(given), self._digest):
                return True
            self._wrong.append((now, source))
            return False


def digest(text: str) -> bytes:
    """Return a digest of a secret, whose length does not reveal the secret's."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _network(address: str) -> str:
    """Return what one client controls: an IPv4 address, or the /64 network of an IPv6 address."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
