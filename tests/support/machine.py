"""Programs and permissions that tests need from the machine.

The header of a test run names the missing ones. `.ci/run` installs the Debian packages.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pytest

PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin"
TMPFS = "mount -t tmpfs tmpfs /tmp"
ALONE = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "--net"]
"""Prefix of a command that runs in its own network namespace."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """A need of some tests.

    Attributes:
        name: as printed.
        tests: the tests that are skipped without it.
        packages: Debian packages, each with the programs that tests run.
        permits: whether the machine permits its use.
    """

    name: str
    tests: str
    packages: dict[str, tuple[str, ...]]
    permits: Callable[[], bool] = lambda: True

    @cached_property
    def lack(self) -> str | None:
        """Why tests cannot use it, and how to install it; None if they can."""
        absent = {
            package: [name for name in names if program(name) is None]
            for package, names in self.packages.items()
        }
        wanted = [package for package, names in absent.items() if names]
        if wanted:
            programs = ", ".join(name for names in absent.values() for name in names)
            return f"{self.name} is missing ({programs}): apt-get install {' '.join(wanted)}"
        return None if self.permits() else f"{self.name} cannot be had on this machine"

    def or_skip(self) -> None:
        """Skip the current test if the need is not met."""
        if self.lack is not None:
            pytest.skip(self.lack)


def program(name: str) -> str | None:
    """Path of an installed program; None if it is missing."""
    return shutil.which(name, path=PATH)


def works(*command: str) -> bool:
    """Whether a command succeeds."""
    return subprocess.run(command, capture_output=True).returncode == 0


def has_gpu() -> bool:
    """Whether there is a GPU; importing torch would take seconds."""
    try:
        return bool(ctypes.CDLL("libcuda.so.1").cuInit(0) == 0)
    except OSError:
        return False


MARIADB = Need(
    name="MariaDB",
    tests="all on MariaDB",
    packages={
        "mariadb-server-core": ("mariadbd", "mariadb-install-db"),
        "mariadb-client-core": ("my_print_defaults",),  # mariadb-install-db runs it
    },
)
POOLER = Need(name="pgbouncer", tests="storage/test_pooler", packages={"pgbouncer": ("pgbouncer",)})
SLURM = Need(
    name="Slurm",
    tests="launch/test_slurm, on a cluster",
    packages={
        "slurmctld": ("slurmctld",),
        "slurmd": ("slurmd",),
        "slurm-client": ("sbatch", "srun", "scontrol", "squeue", "sinfo", "scancel"),
        "munge": ("munged",),
    },
)
CHROMIUM = Need(
    name="Chromium",
    tests="dashboard/test_browser, results/test_report in a browser",
    packages={"chromium": ("chromium",)},
)
OPENSSL = Need(
    name="openssl", tests="dashboard/test_server over TLS", packages={"openssl": ("openssl",)}
)
SMALL_DISK = Need(
    name="a full disk",
    tests="on a full disk, in cli/test_commands, files/test_cache and faults",
    packages={"util-linux": ("unshare",), "mount": ("mount",)},
    permits=lambda: works("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", TMPFS),
)
OWN_NETWORK = Need(
    name="a network namespace",
    tests="launch/test_ray, on a cluster",
    packages={"util-linux": ("unshare",)},
    permits=lambda: works(*ALONE, "true"),
)
GPU = Need(name="a GPU", tests="those that need a GPU", packages={}, permits=has_gpu)

NEEDS = (MARIADB, POOLER, SLURM, CHROMIUM, OPENSSL, SMALL_DISK, OWN_NETWORK, GPU)


def report() -> list[str]:
    """Lines with the met needs, and each unmet one with its remedy and the skipped tests."""
    found = ", ".join(need.name for need in NEEDS if need.lack is None)
    lacks = [f"SKIPPED: {need.lack} [{need.tests}]" for need in NEEDS if need.lack is not None]
    return [f"machine: {found or 'nothing of what tests look for'}", *lacks]
