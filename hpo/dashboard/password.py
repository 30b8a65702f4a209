"""A password, compared in constant time and not without end.

Wrong ones are counted by address: after so many a minute not even the right one is taken.
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
"""Wrong passwords a window, from one address and from all."""
Clock = Callable[[], float]


def read_password(file: Path | None, otherwise: str | None) -> str | None:
    """The password in a file, the newline at its end apart; without a file, the other one.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    if file is None:
        return otherwise or None
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
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
    """Too many wrong passwords; holds the seconds until the next may be tried."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many wrong passwords: try again in {seconds} s.")
        self.seconds = seconds


class Password:
    """A password that is compared in constant time, and not without end."""

    def __init__(self, password: str, clock: Clock = time.monotonic) -> None:
        self._digest = digest(password)
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def is_right(self, given: str, address: str) -> bool:
        """Whether it is the password.

        Raises:
            TooManyGuesses: too many others were tried; this one was not.
        """
        source, now = _network(address), self._clock()
        with self._lock:
            while self._wrong and self._wrong[0][0] <= now - WINDOW_SECONDS:
                self._wrong.popleft()
            in_all = [at for at, _ in self._wrong]
            own = [at for at, whose in self._wrong if whose == source]
            for times, most in ((own, MAX_WRONG), (in_all, MAX_WRONG_IN_ALL)):
                if len(times) >= most:
                    raise TooManyGuesses(math.ceil(times[-most] + WINDOW_SECONDS - now))
            if hmac.compare_digest(digest(given), self._digest):
                return True
            self._wrong.append((now, source))
            return False


def digest(text: str) -> bytes:
    """What stands for a secret, of one length whatever its own."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _network(address: str) -> str:
    """What one guesser has: an IPv4 address, or the 2**64 addresses of an IPv6 network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
