"""Commands that are killed in the middle, and the comparison that judges what they leave."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.files.store import ArtifactStore, table_path, trial_path
from hpo.storage.engine import Storage, open_storage
from hpo.storage.schema import REPORTS, STUDIES, TRIAL_PARAMS, TRIAL_USER_ATTRS, TRIAL_VALUES
from hpo.study.study import Study
from tests.support.every_state import study_in_every_state
from tests.support.faults.clocks import Clock
from tests.support.faults.commands import COMMANDS, Place, harm, kill, undisturbed
from tests.support.faults.setting import make_setting
from tests.support.faults.snapshot import Snapshot, snapshot
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study in a storage, and the file of another one."""
    folder = tmp_path_factory.mktemp("commands")
    url = f"sqlite:///{folder}/hpo.db"
    make_setting(folder, url, n_trials=1).close()
    text = (folder / "faults.toml").read_text()
    (folder / "another.toml").write_text(text.replace('"faults"', '"another"'))
    return Place(folder=folder, storage=url, other=f"sqlite:///{folder}/other.db")


@pytest.mark.slow
def test_a_creation_that_is_killed_and_repeated_leaves_what_one_does(place: Place) -> None:
    files = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    expected, n_steps = undisturbed(COMMANDS["create"], place)
    for path in place.folder.rglob("*"):
        if path.is_file():
            path.unlink()
    for path, content in files.items():
        path.write_bytes(content)
    step = n_steps * 2 // 3
    found = harm(COMMANDS["create"], place, expected, step=step, fault=kill, mend=lambda: None)
    assert found.was_hit
    assert found.losses == []


Damage = Callable[[Storage, ArtifactStore, Study], None]


def changed(statement: sa.Executable) -> Damage:
    return lambda storage, store, study: storage.write(lambda c: c.execute(statement)) and None


def stray(store: ArtifactStore, study: Study) -> str:
    return trial_path(study.uuid, 9, 1, "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (changed(sa.delete(REPORTS).where(REPORTS.c.step == 2)), "rows of trial_intermediate"),
        (changed(sa.update(TRIAL_VALUES).values(value=7.0)), "trial 0, state is COMPLETE [7.0]"),
        (changed(sa.delete(TRIAL_USER_ATTRS)), "lost: storage 0, study study, trial 1, reason"),
        (changed(sa.update(TRIAL_PARAMS).values(param_value=3.0)), "trial 0, params is"),
        (changed(sa.insert(STUDIES).values(study_name="more")), "rows of studies is 2, not 1"),
        (lambda _, store, s: store.put(stray(store, s), b"1"), "left over: file artifacts/studies"),
        (lambda _, store, s: store.delete(table_path("f")), "lost: file artifacts/tables/f"),
        (lambda _, store, s: store.put(table_path("f"), b"2"), "changed: file artifacts/tables/f"),
    ],
)
def test_damage_is_seen_beside_an_undisturbed_run(
    damage: Damage, seen: str, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/hpo.db"
    with closing(open_storage(url)) as storage:
        store = ArtifactStore(str(tmp_path / "artifacts"))
        study = study_in_every_state(storage, store)
        before = snapshot(tmp_path, [url])
        assert before.differences(snapshot(tmp_path, [url])) == []
        damage(storage, store, study)
        found = before.differences(snapshot(tmp_path, [url]))
    assert any(seen in difference for difference in found), found


def test_values_that_depend_on_time_are_not_compared() -> None:
    first, second = Snapshot({"a": "1", "b": "2"}), Snapshot({"a": "1", "b": "3"})
    assert first.common(second).differences(Snapshot({"a": "1", "b": "4"})) == []
    assert first.common(second).differences(Snapshot({"a": "1"})) == ["lost: b"]


def echo(listener: socket.socket) -> None:
    while True:
        try:
            with listener.accept()[0] as connection:
                while content := connection.recv(100):
                    connection.sendall(content)
        except OSError:
            return


def test_a_network_delivers_keeps_back_and_resets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=echo, args=[listener], daemon=True).start()
        port = listener.getsockname()[1]
        with closing(Proxy(f"postgresql://me@127.0.0.1:{port}/x")) as proxy:
            address = "127.0.0.1", sa.make_url(proxy.url).port
            with socket.create_connection(address) as client:
                client.settimeout(5)
                client.sendall(b"a")
                assert client.recv(1) == b"a"
                proxy.state = "silent"
                time.sleep(0.1)
                client.sendall(b"b")
                client.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                proxy.state = "open"
                client.settimeout(5)
                assert client.recv(1) == b"b"
                proxy.state = "reset"
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
        listener.shutdown(socket.SHUT_RDWR)


def test_a_clock_jumps_while_a_process_runs(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    code = (
        "import time\nwhile input(): print(round(time.time() - time.clock_gettime(0)), flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=clock.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for offset in (0.0, 3600.0, -3600.0):
            clock.jump(offset)
            process.stdin.write("x\n")
            process.stdin.flush()
            assert float(process.stdout.readline()) == offset
        process.stdin.write("\n")
