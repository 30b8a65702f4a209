"""The supervisor against stand-ins for `hpo.worker`: small programs in its place on the path."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpo.worker.supervisor import EXIT_RELEASED, MAX_RESTARTS, Child, Death, Slot, Supervisor
from tests.support.program import PROGRAM
from tests.support.waiting import wait_until


def make(tmp_path: Path, program: str, n_slots: int = 1, **more: object) -> Supervisor:
    """A supervisor whose workers run `program`."""
    package = tmp_path / "hpo" / "worker"
    package.mkdir(parents=True)
    (tmp_path / "hpo" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(program)
    slots = [Slot(device="cpu", environment={"SLOT": str(index)}) for index in range(n_slots)]
    environment = {"PYTHONPATH": str(tmp_path), "OUT": str(tmp_path)}
    return Supervisor(arguments=["name"], environment=environment, slots=slots, **more)  # type: ignore[arg-type]


def test_each_slot_gets_a_worker_with_its_own_environment(tmp_path: Path) -> None:
    lines: list[str] = []
    program = "import os, sys; print(os.environ['SLOT'], *sys.argv[1:], file=sys.stderr)"
    supervisor = make(tmp_path, program, n_slots=2, on_line=lines.append)
    with supervisor:
        supervisor.wait()
    wait_until(lambda: len(lines) >= 2)
    given = [line.split() for line in sorted(lines)]
    assert [words[:6] for words in given] == [
        [str(slot), "name", "--device", "cpu", "--share", "1.0"] for slot in (0, 1)
    ]
    assert supervisor.exit_code() == 0


def test_a_killed_worker_is_started_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import os, pathlib, signal\n"
        "pathlib.Path(os.environ['OUT'], str(os.getpid())).touch()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    supervisor = make(tmp_path, program)
    spawn = supervisor._spawn

    def spawn_until_dead(*given: Any) -> Child:
        child = spawn(*given)
        child.process.wait()  # a worker can be dead before anyone looks at it
        return child

    monkeypatch.setattr(supervisor, "_spawn", spawn_until_dead)
    monkeypatch.setattr("hpo.worker.supervisor.POLL_SECONDS", 0.0)
    with supervisor:
        supervisor.wait()
    started = [path for path in tmp_path.iterdir() if path.name.isdecimal()]
    assert len(started) == 1 + MAX_RESTARTS
    assert supervisor.exit_code() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codes", "expected"), [("0,0", 0), ("0,75", 75), ("75,1", 1), ("1,2", 2), ("0,3", 1)]
)
def test_the_most_serious_exit_code_counts(tmp_path: Path, codes: str, expected: int) -> None:
    program = f"import os, sys; sys.exit([{codes}][int(os.environ['SLOT'])])"
    supervisor = make(tmp_path, program, n_slots=2)
    with supervisor:
        supervisor.wait()
    assert supervisor.exit_code() == expected


def test_a_worker_that_ignores_the_notice_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(os.environ['OUT'], 'ready').touch()\n"
        "time.sleep(600)\n"
    )
    deaths: list[Death] = []
    supervisor = make(tmp_path, program, on_death=deaths.append)
    with supervisor:
        wait_until((tmp_path / "ready").exists)
        supervisor.stop(grace=0.2)
    assert supervisor.children[0].process.returncode == -signal.SIGKILL
    assert deaths[0].was_stopped
    assert supervisor.exit_code() == EXIT_RELEASED


@pytest.mark.slow
def test_a_worker_told_to_go_while_it_starts_has_released_what_it_had() -> None:
    places = {"HPO_STORAGE": "postgresql://me@127.0.0.1:1/none", "HPO_ARTIFACTS": "none"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "hpo.worker", "name", "--lifeline"],
        env={**os.environ, **places},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stderr is not None
    assert "going on without it" in worker.stderr.readline()
    worker.communicate(timeout=60)  # which ends its standard input
    assert worker.returncode == EXIT_RELEASED


@pytest.mark.slow
def test_workers_notice_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    child = (
        "import os, pathlib, sys\n"
        "out = pathlib.Path(os.environ['OUT'])\n"
        "(out / 'ready').touch()\n"
        "sys.stdin.buffer.read()\n"
        "(out / 'noticed').touch()\n"
    )
    make(tmp_path / "path", child)
    parent = (
        "import time\n"
        "from hpo.worker.supervisor import Slot, Supervisor\n"
        f"environment = {{'PYTHONPATH': {str(tmp_path / 'path')!r}, 'OUT': {str(tmp_path)!r}}}\n"
        "slot = Slot(device='cpu', environment={})\n"
        "with Supervisor(arguments=[], environment=environment, slots=[slot]):\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], env=os.environ.copy())
    wait_until((tmp_path / "ready").exists)
    process.kill()
    process.wait()
    wait_until((tmp_path / "noticed").exists)


@pytest.mark.slow
def test_a_worker_that_hangs_does_not_outlive_a_dead_supervisor() -> None:
    hanging = (
        "import time\n"
        "from hpo.worker import __main__ as worker\n"
        "worker.GRACE_SECONDS = 0.1\n"
        "stop = worker.StopSignal()\n"
        "stop.install(lambda: None)\n"
        "stop.watch_parent()\n"
        "time.sleep(600)\n"
    )
    done = subprocess.run([*PROGRAM, hanging], stdin=subprocess.DEVNULL, timeout=240)
    assert done.returncode == -signal.SIGKILL
