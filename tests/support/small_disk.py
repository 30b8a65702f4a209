"""A disk of a few megabytes that a test can fill: a tmpfs, mounted without root.

A sleeping process keeps the tmpfs in its own mount namespace. Tests reach the disk through the
process's entry in /proc. The disk disappears with the process.

SQLite cannot open such a path. A program that begins with `enter_namespace` runs in a mount
namespace of its own, where small disks are mounted at their folders.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import machine

MOUNT = "mount -t tmpfs -o size={size} tmpfs {folder} && echo mounted && exec sleep infinity"


INSIDE = "SMALL_DISKS_ARE_MOUNTED_IN_PLACE"
"""Environment variable of programs in a mount namespace of their own."""


def enter_namespace() -> None:
    """Run this program anew in its own mount namespace, if the machine permits it."""
    if INSIDE not in os.environ and machine.SMALL_DISK.lack is None:
        os.environ[INSIDE] = "1"
        command = ["unshare", "--user", "--map-root-user", "--mount", *sys.orig_argv]
        os.execvp(command[0], command)


class SmallDisk:
    """A mounted small disk; `folder` is its root."""

    def __init__(self, folder: Path) -> None:
        """Use a mounted folder."""
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Fill the disk to the last byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:  # no space left on device
                    continue

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, size: str = "16m") -> Iterator[SmallDisk | None]:
    """Mount a small disk at an empty folder; yield None if the machine permits no mount."""
    if machine.SMALL_DISK.lack is not None:
        yield None
        return
    if INSIDE in os.environ:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        try:
            yield SmallDisk(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
        return
    script = MOUNT.format(size=size, folder=folder)
    keeper = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "mounted\n"
        inside = Path(f"/proc/{keeper.pid}/root{folder.resolve()}")
        assert os.path.ismount(inside)
        yield SmallDisk(inside)
    finally:
        keeper.kill()
        keeper.wait()
        keeper.stdout.close()
