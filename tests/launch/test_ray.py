"""Workers on a Ray cluster."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpo.config.errors import HpoError
from hpo.launch.ray_actor import ActorStatus, WorkerActor, WorkerSpec
from hpo.launch.remote import why_nothing_to_do
from hpo.launch.workers import worker_environment
from hpo.study.steering import set_standing
from tests.support import machine, servers
from tests.support.command_line import hpo
from tests.support.faults.setting import Setting, make_setting
from tests.support.waiting import wait_until

NO_RAY = "no Ray here: pip install 'hpo[ray]'"
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_prestart_worker_first_driver": "0"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_outlives_workers_nodes_and_the_head(
    tmp_path: Path, postgresql: servers.PostgresqlServer
) -> None:
    if find_spec("ray") is None:
        pytest.skip(NO_RAY)
    machine.OWN_NETWORK.or_skip()  # Ray listens on all interfaces
    command = [
        *machine.ALONE,
        sys.executable,
        "-m",
        "tests.support.ray_scenario",
        str(tmp_path),
        postgresql.database(),
    ]
    with tempfile.TemporaryDirectory(prefix="ray-") as sessions:  # paths of sockets must be short
        environment = {**os.environ, **QUIET, "RAY_TMPDIR": sessions}
        run = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    print(run.stdout.decode())
    assert run.returncode == 0


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
@pytest.mark.parametrize(
    ("gpus", "cpus", "nodes", "n_workers"),
    [
        (1.0, 1, [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 4.0}], 3),
        (0.5, 1, [{"CPU": 8.0, "GPU": 2.0}], 4),
        (0.3, 2, [{"CPU": 8.0, "GPU": 1.0}], 3),
        (0.0, 3, [{"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0}], 2),
        (1.0, 1, [{"CPU": 8.0}], 0),
    ],
)
def test_the_capacity_is_counted_by_node(
    gpus: float, cpus: int, nodes: list[dict[str, float]], n_workers: int
) -> None:
    from hpo.launch.ray_pool import capacity

    worker = WorkerSpec(arguments=[], environment={}, gpus=gpus, cpus=cpus)
    alive = [{"Alive": True, "Resources": has} for has in nodes]
    dead = {"Alive": False, "Resources": {"CPU": 9.0, "GPU": 9.0}}
    assert capacity([*alive, dead], worker) == n_workers


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A socket that listens on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
def test_a_head_that_is_absent_or_lost_is_not_waited_for(
    port: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpo.launch import ray_cluster

    address = f"127.0.0.1:{port.getsockname()[1]}"
    here = SimpleNamespace(gcs_address=address)
    monkeypatch.setattr(ray_cluster.ray, "get_runtime_context", lambda: here)
    head = ray_cluster.Head(address)
    assert head.is_responding()
    port.close()
    assert not head.is_responding()
    monkeypatch.setattr(ray_cluster, "LOST_SECONDS", 0.0)
    with pytest.raises(HpoError, match=f"the Ray cluster at {address} is lost"):
        head.is_responding()
    for nowhere in (address, "127.0.0.1:99999"):
        with pytest.raises(HpoError, match=f"no Ray cluster answers at {nowhere} "):
            ray_cluster.connect(nowhere)
    assert ray_cluster.Head("ray://127.0.0.1:1").is_responding()


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
def test_workers_without_a_place_are_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo.launch import ray_pool

    monkeypatch.setattr(ray_pool, "WAIT_SECONDS", 0.0)
    worker = WorkerSpec(arguments=[], environment={}, gpus=0.5, cpus=2)
    spec = ray_pool.PoolSpec(key="", worker=worker, n_workers=2, is_finite=True)
    placed = ActorStatus(host="here", pid=1, gpu="0", lines=(), code=None)
    said: list[str] = []
    pool = ray_pool.RayWorkerPool(spec=spec, on_line=said.append)
    pool.records = {
        0: ray_pool.ActorRecord(actor=None, last=placed),
        1: ray_pool.ActorRecord(actor=None),
    }
    pool._report_waiting()
    pool._report_waiting()
    assert said == ["1 of 2 workers wait for 0.5 GPU and 2 cores each on the cluster"]


def test_a_launch_says_why_there_is_nothing_to_do(setting: Setting) -> None:
    study = setting.study
    assert why_nothing_to_do([]) == ""
    assert why_nothing_to_do([study]) == ""
    set_standing(study, "stopped")
    assert why_nothing_to_do([study]) == (
        "nothing to do: faults is stopped: hpo resume faults opens it again"
    )


def test_without_ray_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "hpo.launch.ray_pool", raising=False)
    monkeypatch.delattr("hpo.launch.ray_pool", raising=False)
    done = hpo("launch", "ray", "adult")
    assert done.code == 2
    assert done.err == "hpo: hpo launch ray needs Ray: pip install 'hpo[ray]'\n"


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = make_setting(tmp_path, f"sqlite:///{tmp_path}/hpo.db", n_trials=50)
    with closing(made):
        yield made


def wait_for_worker(setting: Setting, other_than: int | None = None) -> int:
    """Return the process id of the worker that holds a trial."""

    def pids() -> list[int]:
        workers = setting.study.progress().workers
        return [worker.pid for worker in workers if worker.pid != other_than]

    wait_until(lambda: bool(pids()), "a worker at work")
    return pids()[0]


@pytest.mark.slow
def test_an_actor_keeps_its_worker_alive_and_ends_when_a_signal_released_it(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    environment = worker_environment(setting.study.storage, setting.store)
    spec = WorkerSpec(arguments=["faults"], environment=environment, gpus=0.5, cpus=1)
    assert setting.storage_url not in repr(spec)
    ended: list[int] = []

    actor = WorkerActor(spec, end=ended.append)
    first = wait_for_worker(setting)
    assert actor.status().gpu == "7"
    os.kill(first, signal.SIGKILL)
    second = wait_for_worker(setting, other_than=first)
    assert setting.study.progress().workers[0].share == 0.5
    os.kill(second, signal.SIGTERM)
    wait_until(lambda: actor.status().code == 75, "released")
    assert ended == [75]

    other = WorkerActor(spec, end=ended.append)
    wait_for_worker(setting)
    assert other.stop().code == 75
    assert ended == [75]
    assert setting.study.progress().workers == ()
