"""A study on Ray clusters that lose nodes and die.

Usage: `python -m tests.support.ray_scenario FOLDER STORAGE`, in a network namespace of its own,
since Ray's head listens on every interface. The GPUs are fake: workers train on the CPU, and their
environment names the GPU that each was given.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ray.cluster_utils import Cluster

from hpo.study.budget import BudgetChange
from hpo.study.catalog import list_workers
from hpo.study.steering import extend
from hpo.study.study import Study
from tests.support.faults.audit import audit
from tests.support.faults.setting import Setting, make_setting
from tests.support.forked import forking

PATIENCE = 120.0
MEMORY = 80 * 2**20
LAUNCH = [sys.executable, "-m", "hpo", "launch", "ray", "faults", "--lease", "5s"]
RUNNING = b"hpo.worker"


def raise_loopback() -> None:
    """Bring up the only interface of a fresh network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = struct.pack("16sh", b"lo", 0x41)  # up, running
        fcntl.ioctl(any_socket, 0x8914, flags)  # SIOCSIFFLAGS


def devices() -> list[tuple[str, str]]:
    """Node and GPU of each worker process of this scenario, from its environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = dict(
                text.split("=", 1)
                for text in (folder / "environ").read_bytes().decode().split("\0")
                if "=" in text
            )
        except OSError:
            continue
        if RUNNING in words and environment.get("SCENARIO") == os.environ["SCENARIO"]:
            found.append((environment["RAY_RAYLET_PID"], environment["CUDA_VISIBLE_DEVICES"]))
    return found


@contextmanager
def unending(study: Study) -> Iterator[None]:
    """Extend a study before it runs out of trials, since workers that find none end for good."""
    is_over = threading.Event()

    def keep_extending() -> None:
        while not is_over.wait(0.2):
            status = study.progress()
            if status.budget.n_trials - status.counts.get("COMPLETE", 0) < 6:
                extend(study, {"n_trials": BudgetChange(amount=4, is_added=True)})

    thread = threading.Thread(target=keep_extending)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class Scenario:
    """What happens to a study, with the time of each event."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.started = time.monotonic()

    def say(self, what: str) -> None:
        print(f"{time.monotonic() - self.started:5.1f} s: {what}", flush=True)

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline, (
                f"{what}: not within {PATIENCE:.0f} s, but {devices()} and "
                f"{self.setting.study.progress()}"
            )
            time.sleep(0.2)
        self.say(what)

    def hold_trials(self, n_workers: int) -> bool:
        """Whether this many workers hold trials, each on its own device."""
        workers = list_workers(self.setting.study.storage)
        at_work = [worker for worker in workers if not worker.is_silent]
        own = devices()
        assert len(set(own)) == len(own), own
        return len(at_work) == len(own) == n_workers


def cluster(*n_gpus: int) -> tuple[Cluster, list]:
    """Start a cluster on loopback with these numbers of fake GPUs per node, the head first."""
    made = Cluster()
    first = {"node_ip_address": "127.0.0.1", "include_dashboard": False}
    nodes = []
    for n in n_gpus:
        own = {} if nodes else first
        nodes.append(made.add_node(num_cpus=n, num_gpus=n, object_store_memory=MEMORY, **own))
    return made, nodes


def main() -> None:
    folder, url = Path(sys.argv[1]), sys.argv[2]
    raise_loopback()
    os.environ["SCENARIO"] = str(folder)
    setting = make_setting(folder, url, n_trials=6, max_epochs=200)
    os.environ.update(setting.environment)
    scenario = Scenario(setting)
    with unending(setting.study):
        second = lose_workers_and_clusters(scenario)
    where = ["--address", second.address]
    subprocess.run([*LAUNCH, *where, "--workers", "1"], check=True, timeout=2 * PATIENCE)
    assert not devices()
    second.shutdown()

    findings = audit(setting)
    scenario.say(f"{findings}")
    assert findings.faults == []
    assert findings.counts == {"COMPLETE": setting.study.progress().budget.n_trials}
    setting.close()


def lose_workers_and_clusters(scenario: Scenario) -> Cluster:
    """Lose a node, a cluster and a launcher; return the cluster that is left."""
    study = scenario.setting.study
    first, nodes = cluster(1, 1)
    scenario.say("a cluster of two nodes is up")
    where = ["--address", first.address]
    subprocess.run([*LAUNCH, *where, "--detach"], check=True, timeout=PATIENCE)
    again = subprocess.run([*LAUNCH, *where, "--detach"], capture_output=True, text=True)
    assert (again.returncode, "has workers of" in again.stderr) == (2, True), again.stderr
    scenario.until("two workers have a device each", lambda: scenario.hold_trials(2))

    first.remove_node(nodes[1], allow_graceful=False)
    scenario.until("one worker is left", lambda: len(devices()) == 1)
    first.add_node(num_cpus=1, num_gpus=1, object_store_memory=MEMORY)
    scenario.until("two workers again", lambda: scenario.hold_trials(2))

    first.shutdown()
    scenario.until("the head is gone, and all workers with it", lambda: not devices())

    second, _ = cluster(2)
    scenario.say("another cluster is up")
    where = ["--address", second.address]
    subprocess.run([*LAUNCH, *where, "--detach", "--gpus-per-worker", "0.5"], check=True)
    scenario.until("workers share devices", lambda: len(devices()) == 2)
    subprocess.run([*LAUNCH, *where, "--stop"], check=True)
    assert not devices()
    assert "RUNNING" not in study.progress().counts
    scenario.say("they were stopped, and handed their trials back")

    attached = subprocess.Popen([*LAUNCH, *where, "--workers", "2"])
    scenario.until("two workers are attached", lambda: scenario.hold_trials(2))
    attached.kill()  # nobody is left to take trials back
    attached.wait()
    scenario.until("their launcher was killed, and they are gone", lambda: not devices())
    assert "RUNNING" not in study.progress().counts
    return second


if __name__ == "__main__":
    with forking():
        main()
