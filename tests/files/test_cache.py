"""The local cache: real processes that want the same file at once, and are killed."""

import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from hpo.config.errors import ArtifactError
from hpo.files.cache import cached
from hpo.files.store import ArtifactStore
from tests.support import machine
from tests.support.program import PROGRAM
from tests.support.servers import S3Server
from tests.support.small_disk import small_disk

CONTENT = bytes(range(256)) * 4096
NAME = hashlib.sha256(CONTENT).hexdigest()

READER = """
import hashlib, os, signal, sys
from pathlib import Path
from hpo.files.store import ArtifactStore
from hpo.config.errors import ArtifactError
from hpo.files.cache import cached

def fetch(path):
    store.fetch("tables/t", path)
    if "killed" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)

def read(path):
    if hashlib.sha256(path.read_bytes()).hexdigest() != sys.argv[2]:
        raise ArtifactError("is damaged")
    return "whole"

store = ArtifactStore(sys.argv[1], create=False)
print("ready", flush=True)
sys.stdin.read()
print(cached("tables", sys.argv[2], fetch, read))
"""


def reader(store: ArtifactStore, *how: str) -> subprocess.Popen[str]:
    """A process that reads the table once its standard input ends."""
    return subprocess.Popen(
        [*PROGRAM, READER, store.url, NAME, *how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def fetch(path: Path) -> None:
    path.write_bytes(CONTENT)


def read(path: Path) -> bytes:
    if (content := path.read_bytes()) != CONTENT:
        raise ArtifactError("it is not what it must be")
    return content


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.slow
def test_many_processes_fetch_a_file_once(s3: S3Server, cache: Path) -> None:
    store = ArtifactStore(s3.bucket())
    store.put("tables/t", CONTENT)
    readers = [reader(store) for _ in range(4)]
    for process in readers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    s3.requests.clear()
    for process in readers:
        assert process.stdin is not None
        process.stdin.close()
    for process in readers:
        with process:
            assert process.stdout is not None
            assert process.stdout.read() == "whole\n"
    assert s3.asked("^GET /[^/]+/tables/t") == 1
    assert names(cache / "tables") == [NAME]


@pytest.mark.slow
def test_the_draft_of_a_killed_process_is_replaced_or_deleted(tmp_path: Path, cache: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    store.put("tables/t", CONTENT)
    process = reader(store, "killed")
    process.communicate()
    assert process.returncode == -9
    draft = cache / "tables" / f".{NAME}.draft"
    assert names(cache / "tables") == [draft.name]
    assert cached("tables", NAME, fetch, read) == CONTENT
    assert names(cache / "tables") == [NAME]
    draft.touch()
    two_hours_ago = time.time() - 7200
    os.utime(draft, (two_hours_ago, two_hours_ago))
    assert cached("tables", "other", fetch, read) == CONTENT
    assert names(cache / "tables") == [NAME, "other"]


def test_a_damaged_file_is_fetched_again(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cached("tables", NAME, fetch, read)
    (cache / "tables" / NAME).write_bytes(CONTENT[:-1])
    assert cached("tables", NAME, fetch, read) == CONTENT
    assert (cache / "tables" / NAME).read_bytes() == CONTENT
    assert "is damaged and fetched again" in caplog.text
    with pytest.raises(ArtifactError, match="not what it must be"):
        cached("tables", "wrong", lambda path: path.write_bytes(b""), read)
    assert names(cache / "tables") == [NAME]


def test_what_was_not_used_for_long_goes(cache: Path) -> None:
    for name in ("old", "used"):
        cached("tables", name, fetch, read)
        os.utime(cache / "tables" / name, (0, 0))
    cached("tables", "used", fetch, read)
    cached("tables", "new", fetch, read)
    assert names(cache / "tables") == ["new", "used"]


@pytest.mark.parametrize("place", ["/proc/cache", "full"])
def test_without_a_cache_files_are_read_directly(
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        if place == "full":
            machine.SMALL_DISK.or_skip()
            assert disk is not None
            (disk.folder / "tables").mkdir()
            disk.fill()
            place = str(disk.folder)
        monkeypatch.setenv("HPO_CACHE", place)
        for _ in range(2):
            assert cached("tables", NAME, fetch, read) == CONTENT
        assert caplog.text.count(f"cache {place}/tables cannot be used: ") == 1
        assert not Path(place, "tables", NAME).exists()


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from hpo.files.cache import cache_folder

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("HPO_CACHE")
    assert cache_folder() == tmp_path / ".cache/hpo"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/hpo"
