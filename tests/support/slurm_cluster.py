"""A Slurm cluster: munge, slurmctld and two fake nodes with a fake GPU each.

Needs Debian's slurm-wlm and munge, and no root. Everything listens on loopback only.
"""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support import machine

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdSpoolDir={folder}/spool-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=1
ReturnToService=2
KillWait=15
MpiDefault=none
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={n1} CPUs=1 Gres=gpu:1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={n2} CPUs=1 Gres=gpu:1
PartitionName=gpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """A running cluster."""

    def __init__(self, folder: Path) -> None:
        """Use the configuration in a folder."""
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": machine.PATH}

    def say(self, *command: str) -> str:
        """Run a Slurm command; return its output."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def facts(self, job: str) -> dict[str, str]:
        """Attributes of a job, such as JobState and Restarts."""
        words = self.say("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def state(self, job: str) -> str:
        """State of a job, such as RUNNING."""
        return self.facts(job)["JobState"]


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster, and remove it."""
    for name in ("state", "spool-n1", "spool-n2"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    ports = dict(zip(("controller", "n1", "n2"), _free_ports(3), strict=True))
    text = CONFIGURATION.format(
        folder=folder, user=getpass.getuser(), host=socket.gethostname().partition(".")[0], **ports
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("NodeName=n[1-2] Name=gpu File=/dev/null\n")
    cluster = Cluster(folder)
    files = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "pid-file")]
    files += [f"--key-file={key}", f"--log-file={folder}/munge.log", f"--seed-file={folder}/seed"]
    daemons = [
        ["munged", "--foreground", "--force", *files],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", "n1"],
        ["slurmd", "-D", "-N", "n2"],
    ]
    with ExitStack() as running:
        for command in daemons:
            running.enter_context(_daemon(command, cluster, folder))
            if command[0] == "munged":
                _wait_for(lambda: (folder / "munge.socket").exists(), folder)
        running.callback(_end_jobs, cluster)
        _wait_for(lambda: _n_idle(cluster) == 2, folder)
        yield cluster


@contextmanager
def _daemon(command: list[str], cluster: Cluster, folder: Path) -> Iterator[None]:
    program = machine.program(command[0])
    assert program is not None
    with open(folder / f"{command[0]}-{command[-1][-2:]}.out", "w") as log:
        process = subprocess.Popen(
            [program, *command[1:]],
            env={**os.environ, **cluster.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_jobs(cluster: Cluster) -> None:
    cluster.say("scancel", "--user", getpass.getuser())
    deadline = time.monotonic() + 20
    while cluster.say("squeue", "--noheader") and time.monotonic() < deadline:
        time.sleep(0.2)


def _n_idle(cluster: Cluster) -> int:
    environment = {**os.environ, **cluster.environment}
    command = ["sinfo", "--noheader", "--Node", "--format=%T"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.stdout.split().count("idle")


def _wait_for(true: object, folder: Path) -> None:
    deadline = time.monotonic() + 20
    while not true():  # type: ignore[operator]
        said = "".join(path.read_text() for path in folder.glob("*.out"))
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


def _free_ports(n_ports: int) -> list[int]:
    """Find free ports on loopback."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n_ports)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
