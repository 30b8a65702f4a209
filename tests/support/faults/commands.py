"""Commands that a fault hits in the middle, and what they leave in storages, stores and folders.

A command runs in a folder with a study, is killed or loses its disk or database at one of its
steps, and is run again without faults. `hpo gc` follows when all files are old. Then everything
must be as after an undisturbed run: nothing lost, doubled or left over.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpo.files.store import ArtifactStore
from tests.support.every_state import grow_old
from tests.support.faults.processes import send
from tests.support.faults.snapshot import Snapshot, snapshot

PROGRAM = (sys.executable, "-m", "tests.support.faults.steps")
SECONDS = 120.0
"""Time after which a command hangs."""
TWO_DAYS = 2 * 86400.0

Fault = Callable[[subprocess.Popen[bytes]], None]
"""Called while a command waits at a step."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a command finds its studies.

    Attributes:
        folder: the working folder.
        storage: URL of the storage.
        other: URL of a second storage, to copy to.
    """

    folder: Path
    storage: str
    other: str

    @property
    def environment(self) -> dict[str, str]:
        """Environment of the commands."""
        own = {"HPO_STORAGE": self.storage, "HPO_ARTIFACTS": str(self.folder / "artifacts")}
        return {**os.environ, **own, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command to harm.

    Attributes:
        arguments: of `hpo`; `{other}` stands for the URL of the second storage.
        again: a regular expression for what a second run may say instead of succeeding, because
            the first one was done.
    """

    arguments: tuple[str, ...]
    again: str | None = None


NAME = "faults"
COMMANDS = {
    "create": Command(arguments=("create", "another.toml")),
    "export": Command(
        arguments=("export", NAME, "--top", "2", "--ensemble", "2", "--out", "winners")
    ),
    "confirm": Command(
        arguments=(
            *("confirm", NAME, "--top", "1", "--seeds", "2", "--workers", "1", "--gpus", "none"),
            *("--lease", "2s", "--storage-timeout", "20s"),
        )
    ),
    "refit": Command(arguments=("refit", NAME, "--out", "refits", "--device", "cpu")),
    "storage copy": Command(
        arguments=("storage", "copy", "{storage}", "{other}", "--study", NAME),
        again="has a study faults already|moved to",
    ),
    "storage copy with artifacts": Command(
        arguments=(
            *("storage", "copy", "{storage}", "{other}", "--study", NAME),
            *("--to-artifacts", "copies"),
        ),
        again="has a study faults already",
    ),
    "storage upgrade": Command(arguments=("storage", "upgrade", "--storage", "{old}")),
    "gc": Command(arguments=("gc",)),
    "delete": Command(arguments=("delete", NAME, "--yes"), again="no study faults"),
}


@dataclass(kw_only=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; negative after a signal.
        said: its output.
        n_steps: its steps; 0 if it was killed.
        was_hit: whether it came to the chosen step.
    """

    code: int
    said: str
    n_steps: int = 0
    was_hit: bool = False


@dataclass(kw_only=True)
class Harmed:
    """What became of a command under a fault.

    Attributes:
        was_hit: whether the fault came before the end of the command.
        losses: a sentence for each difference from an undisturbed run.
    """

    was_hit: bool
    losses: list[str] = field(default_factory=list)


def run(command: Command, place: Place, step: int = 0, fault: Fault | None = None) -> Ended:
    """Run a command to its end, with a fault at a step."""
    old = f"sqlite:///{place.folder}/old.db"
    words = [
        text.format(storage=place.storage, other=place.other, old=old) for text in command.arguments
    ]
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as file:  # not on a disk that is full
        process = subprocess.Popen(
            [*PROGRAM, f"{theirs.fileno()}", f"{step}", *words],
            env=place.environment,
            cwd=place.folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        ours.settimeout(SECONDS)
        try:
            was_hit, n_steps = _listen(ours, process, fault)
            code = process.wait(SECONDS)
        finally:
            _end_all(process)
        file.seek(0)
        said = file.read().decode(errors="replace")
    return Ended(code=code, said=said, n_steps=n_steps, was_hit=was_hit)


def _listen(
    channel: socket.socket, process: subprocess.Popen[bytes], fault: Fault | None
) -> tuple[bool, int]:
    """Wait for the end of a command, and cause the fault at its step."""
    was_hit, numbers = False, b""
    while heard := channel.recv(100):
        if heard.startswith(b"!"):
            assert fault is not None
            was_hit, heard = True, heard[1:]
            fault(process)
            try:
                channel.sendall(b".")
            except BrokenPipeError:  # it was killed
                break
        numbers += heard
    return was_hit, int(numbers or 0)


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a command and its workers, which share its session."""
    if process.poll() is None:
        send(process.pid, signal.SIGKILL)
        process.wait()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
            except (OSError, ValueError):
                continue
            if session == process.pid:
                send(int(entry.name), signal.SIGKILL)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a command."""
    send(process.pid, signal.SIGKILL)
    process.wait()


def harm(
    command: Command,
    place: Place,
    expected: Snapshot,
    *,
    step: int,
    fault: Fault,
    mend: Callable[[], None],
) -> Harmed:
    """Run a command with a fault, then again without, and compare with an undisturbed run."""
    ended = run(command, place, step, fault)
    mend()
    result = Harmed(was_hit=ended.was_hit)
    if "Traceback" in ended.said:
        result.losses.append(f"shows a traceback: {ended.said[-300:]}")
    elif ended.code not in (0, 1, 2, 130, -signal.SIGKILL):
        result.losses.append(f"ends with {ended.code}: {ended.said[-300:]}")
    if ended.code != 0:
        again = run(command, place)
        is_done = command.again is not None and re.search(command.again, again.said)
        if again.code != 0 and not is_done:
            result.losses.append(f"fails again with {again.code}: {again.said[-300:]}")
    result.losses += expected.differences(finish(place))
    return result


def finish(place: Place) -> Snapshot:
    """Remove leftovers as `hpo gc` does when they are old, and record what is there."""
    for name, url in (("artifacts", place.storage), ("copies", place.other)):
        if (place.folder / name).exists():
            grow_old(ArtifactStore(str(place.folder / name)), TWO_DAYS)
            options: Sequence[str] = ["--unknown"] if name == "copies" else []
            swept = Command(
                arguments=(
                    "gc",
                    "--storage",
                    url,
                    "--artifacts",
                    str(place.folder / name),
                    *options,
                )
            )
            ended = run(swept, place)
            assert ended.code == 0, ended.said
    urls = [place.storage, place.other, f"sqlite:///{place.folder}/old.db"]
    return snapshot(place.folder, urls)


def undisturbed(command: Command, place: Place) -> tuple[Snapshot, int]:
    """What a command leaves without a fault, and the number of its steps."""
    ended = run(command, place)
    assert ended.code == 0, ended.said
    return finish(place), ended.n_steps
