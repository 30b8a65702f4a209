"""Worker commands that are kept running: `hpo worker NAME`, started again whenever one dies.

Each is a supervisor and its one child, the process that trains. A command that ends with 75 or by a
signal is started again, as Slurm and Kubernetes do; one that ends with 0 has found no work left;
any other end is a loss, kept with what the command said.

Does not know: why its workers die.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpo.worker.supervisor import EXIT_RELEASED
from tests.support.faults.setting import Setting


def worker_options(**changes: str) -> list[str]:
    """Options of `hpo worker` for impatient tests.

    Args:
        changes: `lease="60s"` and the like, underscores for dashes.
    """
    options = {
        "workers": "1",
        "gpus": "none",
        "lease": "2s",
        "checkpoint_interval": "1s",
        "storage_timeout": "60s",
    }
    given = {**options, **changes}
    return [text for name, value in given.items() for text in (_dashed(name), value)]


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(kw_only=True)
class WorkerCommand:
    """One worker command."""

    process: subprocess.Popen[bytes]
    log: Path
    n_child_kills: int = 0
    is_stopped: bool = False

    @property
    def text(self) -> str:
        """What it and its child said."""
        return self.log.read_text(errors="replace")

    def child(self) -> int | None:
        """Process id of the worker that its supervisor runs now."""
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        workers = [
            int(child) for child in children if b"hpo.worker" in _read(int(child), "cmdline")
        ]
        return workers[-1] if workers else None

    def signal(self, number: signal.Signals) -> None:
        """Signal the supervisor alone."""
        send(self.process.pid, number)


@dataclass(kw_only=True)
class WorkerGroup:
    """Some worker commands on one study.

    Attributes:
        setting: where their study is.
        folder: for their logs.
        size: how many.
        options: of `hpo worker`.
        losses: commands that ended as none should, each in a sentence.
        n_starts: commands started, the first ones included.
    """

    setting: Setting
    folder: Path
    size: int
    options: Sequence[str] = field(default_factory=worker_options)
    commands: list[WorkerCommand] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    n_starts: int = 0

    def __enter__(self) -> "WorkerGroup":
        """Start them all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.commands = [self._start() for _ in range(self.size)]
        return self

    def __exit__(self, *error: object) -> None:
        """Leave no process behind, the children of dead supervisors included."""
        while alive := self.processes():
            for pid in alive:
                send(pid, signal.SIGKILL)
            time.sleep(0.1)
        for worker in self.commands:
            worker.process.wait()

    def processes(self) -> list[int]:
        """Every living process that was started with this study's store: supervisors, workers."""
        mark = f"HPO_ARTIFACTS={self.setting.store.url}\0".encode()
        return [pid for pid in _pids() if pid != os.getpid() and mark in _read(pid, "environ")]

    def tend(self) -> int:
        """Start again what died or gave its trials back; how many commands are running."""
        for index, worker in enumerate(self.commands):
            code = worker.process.poll()
            if code is None or code == 0:
                continue
            if code > 0 and code != EXIT_RELEASED:
                said = worker.text.strip().splitlines() or ["nothing"]
                self.losses.append(f"a worker ended with {code}, saying: {said[-1]}")
            self.commands[index] = self._start()
        return sum(worker.process.poll() is None for worker in self.commands)

    def _start(self) -> WorkerCommand:
        self.n_starts += 1
        log = self.folder / f"worker-{self.n_starts:03d}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "hpo", "worker", self.setting.study.name, *self.options],
                env={**os.environ, **self.setting.environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return WorkerCommand(process=process, log=log)


def send(pid: int | None, number: signal.Signals) -> bool:
    """Signal a process; whether it was there."""
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Look ten times a second until something is true; an AssertionError says what never was."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"after {seconds:g} s: not {what}"
        time.sleep(0.1)


def hpo_command(setting: Setting, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `hpo ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hpo", *arguments],
        env={**os.environ, **setting.environment},
        capture_output=True,
        text=True,
    )


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    """A process's own account of itself; empty when it is gone, a zombie or somebody else's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
