"""Processes running `hpo worker NAME`, restarted whenever one dies.

Each command is a supervisor with one child, the process that trains. A command that ends with 75 or
by a signal is restarted, as Slurm and Kubernetes do. A command that ends with 0 has found no work.
Any other end is a loss, recorded with the command's last line of output.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpo.worker.supervisor import EXIT_RELEASED
from tests.support.faults.setting import Setting


def worker_options(**changes: str) -> list[str]:
    """Options of `hpo worker` with short leases and intervals.

    Args:
        changes: other values, such as `lease="60s"`; underscores stand for dashes.
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
        """Output of the command and its child."""
        return self.log.read_text(errors="replace")

    def child(self) -> int | None:
        """Process id of the supervisor's current child; None without one."""
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return None
        workers = [int(child) for child in children if _folder(int(child)) == self.log.parent]
        return workers[-1] if workers else None

    def signal(self, number: signal.Signals) -> None:
        """Signal the supervisor only."""
        send(self.process.pid, number)


@dataclass(kw_only=True)
class WorkerGroup:
    """Worker commands on one study.

    Attributes:
        setting: the study.
        folder: where they run, and nothing else does; it holds their logs.
        size: number of commands.
        options: of `hpo worker`.
        environments: further environment variables of each command, if any.
        losses: a sentence for each command that ended unexpectedly.
        n_starts: commands started, including the first ones.
    """

    setting: Setting
    folder: Path
    size: int
    options: Sequence[str] = field(default_factory=worker_options)
    environments: Sequence[Mapping[str, str]] = ()
    commands: list[WorkerCommand] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    n_starts: int = 0

    def __enter__(self) -> "WorkerGroup":
        """Start them all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder = self.folder.resolve()
        self.commands = [self._start(index) for index in range(self.size)]
        return self

    def __exit__(self, *error: object) -> None:
        """Kill all processes, including children of dead supervisors."""
        while alive := self.processes():
            for pid in alive:
                send(pid, signal.SIGKILL)
            time.sleep(0.1)
        for worker in self.commands:
            worker.process.wait()

    def processes(self) -> list[int]:
        """Process ids of all supervisors and workers that run in the folder."""
        return [pid for pid in _pids() if _folder(pid) == self.folder]

    def tend(self) -> int:
        """Restart commands that died or released their trials; return how many are running."""
        for index, worker in enumerate(self.commands):
            code = worker.process.poll()
            if code is None or code == 0:
                continue
            if code > 0 and code != EXIT_RELEASED:
                said = worker.text.strip().splitlines() or ["nothing"]
                self.losses.append(f"a worker ended with {code}, saying: {said[-1]}")
            self.commands[index] = self._start(index)
        return sum(worker.process.poll() is None for worker in self.commands)

    def _start(self, index: int) -> WorkerCommand:
        self.n_starts += 1
        log = self.folder / f"worker-{self.n_starts:03d}.log"
        own = self.environments[index] if self.environments else {}
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "hpo", "worker", self.setting.study.name, *self.options],
                cwd=self.folder,
                env={**os.environ, **self.setting.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return WorkerCommand(process=process, log=log)


def send(pid: int | None, number: signal.Signals) -> bool:
    """Signal a process; return whether it existed."""
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


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


def _folder(pid: int) -> Path | None:
    """The folder that a process runs in; None if it has ended or belongs to another user."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None
