"""The Ray cluster that this process is connected to, from its beginning to its loss.

Ray itself is patient with a head that does not answer: for a quarter of an hour where it is to be
joined, and once it is lost Ray ends the process after a minute, in the middle of whatever it does.
"""

import os
import socket
import time
from contextlib import suppress

import ray
from ray.exceptions import RayError

from hpo.config.errors import HpoError

NAMESPACE = "hpo"
KNOCK_SECONDS = 10.0
LOST_SECONDS = 45.0
"""Silence of a head after which the cluster is taken for lost; Ray's own limit is 60."""


def connect(address: str | None) -> None:
    """Join a cluster: the one at an address, or the one of this machine.

    Raises:
        HpoError: there is none, or it is not one to join.
    """
    where = address or "this machine"
    if address is not None and "://" not in address and not _answers(address, KNOCK_SECONDS):
        raise _absent(where, "nothing listens there")
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # one try, which takes 40 s
    try:
        ray.init(
            address=address or "auto",
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError) as error:
        raise _absent(where, " ".join(str(error).split())) from None
    except (RuntimeError, RayError) as error:  # of another version, or it asks for a token
        said = " ".join(str(error).split())
        raise HpoError(f"the Ray cluster at {where} cannot be joined: {said}") from None


def disconnect() -> None:
    """Leave the cluster."""
    ray.shutdown()


class Head:
    """The head of the cluster, looked at now and then."""

    def __init__(self, address: str | None) -> None:
        """Know where it is; Ray's own client (`ray://`) looks after its connection itself."""
        is_client = address is not None and "://" in address
        self._address: str = "" if is_client else ray.get_runtime_context().gcs_address
        self._seen_at = time.monotonic()

    def answers(self) -> bool:
        """Whether it answers now.

        Raises:
            HpoError: it has not for so long that the cluster is lost.
        """
        if _answers(self._address, 1.0):
            self._seen_at = time.monotonic()
            return True
        if time.monotonic() - self._seen_at < LOST_SECONDS:
            return False
        raise HpoError(
            f"the Ray cluster at {self._address} is lost, its head is silent: launch again on "
            "another, the study goes on"
        )


def _answers(address: str, patience: float) -> bool:
    """Whether somebody listens at HOST:PORT; of what is no such address Ray says so itself."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return True
    with suppress(OSError, OverflowError):
        socket.create_connection((host.strip("[]"), int(port)), patience).close()
        return True
    return False


def _absent(where: str, why: str) -> HpoError:
    return HpoError(
        f"no Ray cluster answers at {where} ({why}): start one by `ray start --head`, or name its "
        "address by --address"
    )
