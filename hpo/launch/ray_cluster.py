"""Connection to a Ray cluster: joining it, and noticing that its head is gone.

Ray itself waits a quarter of an hour for a head that it should join. When it loses the head, it
ends the process after a minute, in the middle of whatever the process does.
"""

import os
import socket
import time
from contextlib import suppress

import ray
from ray.exceptions import RayError

from hpo.config.errors import HpoError

NAMESPACE = "hpo"
_CONNECT_SECONDS = 10.0
LOST_SECONDS = 45.0
"""A head that does not respond for this long counts as lost; Ray's own limit is 60."""


def connect(address: str | None) -> None:
    """Join the cluster at an address, or the cluster of this machine.

    Raises:
        HpoError: there is no cluster, or it cannot be joined.
    """
    where = address or "this machine"
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # one attempt, of about 40 s
    try:
        if address and "://" not in address and not _is_listening(address, _CONNECT_SECONDS):
            raise ConnectionError("nothing listens there")
        ray.init(
            address=address or "auto",
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError) as error:
        raise HpoError(
            f"no Ray cluster answers at {where} ({' '.join(str(error).split())}): start one with "
            "`ray start --head`, or give its address with --address"
        ) from None
    except (RuntimeError, RayError) as error:  # another version, or a token is required
        reason = " ".join(str(error).split())
        raise HpoError(f"the Ray cluster at {where} cannot be joined: {reason}") from None


class Head:
    """The head of the cluster that this process is connected to."""

    def __init__(self, address: str | None) -> None:
        """Find the head's address; Ray's own client (`ray://`) checks its connection itself."""
        is_client = address is not None and "://" in address
        self._address: str = "" if is_client else ray.get_runtime_context().gcs_address
        self._seen_at = time.monotonic()

    def is_responding(self) -> bool:
        """Check whether the head responds now.

        Raises:
            HpoError: it has not responded for `LOST_SECONDS`.
        """
        if _is_listening(self._address, 1.0):
            self._seen_at = time.monotonic()
            return True
        if time.monotonic() - self._seen_at < LOST_SECONDS:
            return False
        raise HpoError(
            f"the Ray cluster at {self._address} is lost, its head does not respond: launch again "
            "on another cluster, and the study continues"
        )


def _is_listening(address: str, timeout: float) -> bool:
    """Check whether a server listens at HOST:PORT; other addresses are left to Ray."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return True
    with suppress(OSError, OverflowError):
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
        return True
    return False
