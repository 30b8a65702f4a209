"""Workers on a Ray cluster."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpo.config.errors import HpoError
from hpo.launch.remote import nothing_left
from hpo.launch.seat import Seat, Seating, SeatStatus
from hpo.study.steering import set_standing
from tests.support import machine, servers
from tests.support.command_line import hpo
from tests.support.faults.setting import Setting, make_setting

NO_RAY = "no Ray here: pip install 'hpo[ray]'"
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_prestart_worker_first_driver": "0"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_outlives_workers_nodes_and_the_head(
    tmp_path: Path, postgresql: servers.PostgresqlServer
) -> None:
    if find_spec("ray") is None:
        pytest.skip(NO_RAY)
    machine.OWN_NETWORK.or_skip()  # Ray listens wherever it can
    command = [
        *machine.ALONE,
        sys.executable,
        "-m",
        "tests.support.ray_scenario",
        str(tmp_path),
        postgresql.database(),
    ]
    with tempfile.TemporaryDirectory(prefix="ray-") as sessions:  # sockets want a short path
        environment = {**os.environ, **QUIET, "RAY_TMPDIR": sessions}
        run = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    print(run.stdout.decode())
    assert run.returncode == 0


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
@pytest.mark.parametrize(
    ("gpus", "cpus", "nodes", "n_seats"),
    [
        (1.0, 1, [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 4.0}], 3),
        (0.5, 1, [{"CPU": 8.0, "GPU": 2.0}], 4),
        (0.3, 2, [{"CPU": 8.0, "GPU": 1.0}], 3),
        (0.0, 3, [{"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0}], 2),
        (1.0, 1, [{"CPU": 8.0}], 0),
    ],
)
def test_seats_are_counted_by_node(
    gpus: float, cpus: int, nodes: list[dict[str, float]], n_seats: int
) -> None:
    from hpo.launch.ray_pool import room

    seating = Seating(arguments=[], urls={}, gpus=gpus, cpus=cpus)
    alive = [{"Alive": True, "Resources": has} for has in nodes]
    assert room([*alive, {"Alive": False, "Resources": {"CPU": 9.0, "GPU": 9.0}}], seating) == (
        n_seats
    )


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """A socket that listens on loopback until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
def test_a_head_that_is_not_there_or_lost_is_not_waited_for(
    port: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpo.launch import ray_cluster

    address = f"127.0.0.1:{port.getsockname()[1]}"
    here = SimpleNamespace(gcs_address=address)
    monkeypatch.setattr(ray_cluster.ray, "get_runtime_context", lambda: here)
    head = ray_cluster.Head(address)
    assert head.answers()
    port.close()
    assert not head.answers()
    monkeypatch.setattr(ray_cluster, "LOST_SECONDS", 0.0)
    with pytest.raises(HpoError, match=f"the Ray cluster at {address} is lost"):
        head.answers()
    for nowhere in (address, "127.0.0.1:99999"):
        with pytest.raises(HpoError, match=f"no Ray cluster answers at {nowhere} "):
            ray_cluster.connect(nowhere)
    assert ray_cluster.Head("ray://127.0.0.1:1").answers()


@pytest.mark.skipif(find_spec("ray") is None, reason=NO_RAY)
def test_workers_that_wait_for_a_place_are_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo.launch import ray_pool

    monkeypatch.setattr(ray_pool, "WAIT_SECONDS", 0.0)
    seating = Seating(arguments=[], urls={}, gpus=0.5, cpus=2)
    spec = ray_pool.PoolSpec(key="", seating=seating, n_workers=2, is_finite=True)
    placed = SeatStatus(host="here", pid=1, gpu="0", workers=(), lines=(), code=None)
    said: list[str] = []
    pool = ray_pool.RayWorkerPool(spec=spec, on_line=said.append)
    pool.seats = {
        0: ray_pool.SeatRecord(actor=None, last=placed),
        1: ray_pool.SeatRecord(actor=None),
    }
    pool._tell_who_waits()
    pool._tell_who_waits()
    assert said == ["1 of 2 workers wait for a place with 0.5 GPU and 2 cores on the cluster"]


def test_a_launch_says_why_there_is_nothing_to_do(setting: Setting) -> None:
    study = setting.study
    assert nothing_left([]) is None
    assert nothing_left([study]) is None
    set_standing(study, "stopped")
    assert nothing_left([study]) == (
        "nothing to do: faults is stopped, hpo resume faults opens it again"
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


def until(seat: Seat, is_so: Callable[[SeatStatus], bool]) -> SeatStatus:
    deadline = time.monotonic() + 60
    while not is_so(status := seat.status()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return status


@pytest.mark.slow
def test_a_seat_keeps_its_worker_and_leaves_when_somebody_released_it(setting: Setting) -> None:
    urls = {"HPO_STORAGE": setting.storage_url, "HPO_ARTIFACTS": setting.store.url}
    seating = Seating(arguments=["faults"], urls=urls, gpus=0.5, cpus=1)
    assert setting.storage_url not in repr(seating)
    left: list[int] = []

    def is_at_work(status: SeatStatus) -> bool:
        workers = setting.study.progress().workers
        return [worker.pid for worker in workers] == list(status.workers)

    seat = Seat(seating, "7", leave=left.append)
    first = until(seat, is_at_work)
    environment = Path(f"/proc/{first.workers[0]}/environ").read_bytes().split(b"\0")
    assert b"CUDA_VISIBLE_DEVICES=7" in environment
    os.kill(first.workers[0], signal.SIGKILL)
    second = until(seat, lambda status: status.workers != first.workers and is_at_work(status))
    assert setting.study.progress().workers[0].share == 0.5
    os.kill(second.workers[0], signal.SIGTERM)
    assert until(seat, lambda status: status.code is not None).code == 75
    assert left == [75]

    other = Seat(seating, "7", leave=left.append)
    until(other, is_at_work)
    assert other.stop().code == 75
    assert left == [75]
    assert setting.study.progress().workers == ()
