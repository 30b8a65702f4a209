import errno
import os
import posixpath
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hpo.config.errors import ArtifactError, InputError
from hpo.files.store import ArtifactStore
from tests.support.program import PROGRAM


def test_what_was_put_is_got_back(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    digest = store.put("a/b/model", b"weights")
    assert store.exists("a/b/model")
    assert store.get("a/b/model", digest) == b"weights"


def test_a_damaged_artifact_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    digest = store.put("model", b"weights")
    (tmp_path / "model").write_bytes(b"weightz")
    with pytest.raises(ArtifactError, match=r"model in .* is damaged"):
        store.get("model", digest)


def test_a_missing_artifact_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="artifact nothing cannot be read"):
        ArtifactStore(str(tmp_path)).get("nothing", "")


def test_a_store_keeps_its_id_and_differs_from_others(tmp_path: Path) -> None:
    first = ArtifactStore(str(tmp_path / "a"))
    assert ArtifactStore(str(tmp_path / "a")).id == first.id
    assert ArtifactStore(str(tmp_path / "b")).id != first.id


def test_a_store_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"/new: does not exist; set --artifacts"):
        ArtifactStore(str(tmp_path / "new"), create=False)
    assert list(tmp_path.iterdir()) == []
    made = ArtifactStore(str(tmp_path / "new"))
    assert ArtifactStore(str(tmp_path / "new"), create=False).id == made.id


def test_a_store_that_went_away_is_not_made_again_by_writing(tmp_path: Path) -> None:
    root = tmp_path / "disk" / "store"
    store = ArtifactStore(str(root))
    digest = store.put("a/model", b"weights")
    root.rename(tmp_path / "moved")
    with pytest.raises(ArtifactError, match=r"disk/store: is no longer there, .*store-id"):
        store.put("a/model", b"more")
    assert not root.exists()
    root.mkdir()  # as an unmounted disk leaves it
    with pytest.raises(ArtifactError, match="is no longer there"):
        store.put("a/model", b"more")
    assert list(root.iterdir()) == []
    root.rmdir()
    (tmp_path / "moved").rename(root)
    store.put("b/model", b"more")
    assert store.get("a/model", digest) == b"weights"


def test_a_store_that_goes_just_after_the_look_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    (tmp_path / "store").rename(tmp_path / "moved")
    monkeypatch.setattr(store, "_check_exists", lambda: None)
    with pytest.raises(ArtifactError, match="a/model cannot be written"):
        store.put("a/model", b"weights")
    assert not (tmp_path / "store").exists()


def test_many_openings_at_once_agree_on_the_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: ArtifactStore(str(tmp_path / "new")).id, range(16)))
    assert len(ids) == 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["store-id"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    (tmp_path / "model").mkdir()  # the rename onto a folder fails
    with pytest.raises(ArtifactError, match="cannot be written"):
        store.put("model", b"weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "store-id"]


def test_a_write_cut_short_by_a_kill_is_never_seen(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    program = (
        "import os, signal, sys\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from hpo.files.store import ArtifactStore\n"
        "ArtifactStore(sys.argv[1]).put('model', b'weights')\n"
    )
    done = subprocess.run([*PROGRAM, program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert not store.exists("model")


def test_new_folders_outlast_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, flushed = ArtifactStore(str(tmp_path)), []
    monkeypatch.setattr("hpo.files.durable.flush", lambda folder: flushed.append(folder))
    store.put("a/b/model", b"weights")
    assert set(flushed) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    flushed.clear()
    store.put("a/b/model", b"weights")
    assert flushed == [tmp_path / "a" / "b"]


def test_a_url_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="gopher"):
        ArtifactStore("gopher://somewhere/else")


def test_a_place_that_cannot_hold_a_store_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="cannot be opened"):
        ArtifactStore(str(tmp_path / "file" / "store"))


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "s3":
        return ArtifactStore(f"{request.getfixturevalue('s3').bucket()}/some/folder")
    return ArtifactStore(
        {"local": f"{tmp_path}/store", "memory": f"memory://{tmp_path}"}[request.param]
    )


def test_files_below_a_folder_are_listed(store: ArtifactStore) -> None:
    for path in ("a/2/x", "a/1", "ab/1", "a/2/deep/y"):
        store.put(path, b"1")
    assert store.list("a") == ["a/1", "a/2/deep/y", "a/2/x"]
    assert store.list("a/2") == ["a/2/deep/y", "a/2/x"]
    assert store.list("") == ["a/1", "a/2/deep/y", "a/2/x", "ab/1", "store-id"]
    assert store.list("nothing/here") == []
    assert store.list("a/1") == []


def test_a_deleted_file_is_gone_and_may_be_deleted_again(store: ArtifactStore) -> None:
    store.put("a/1", b"1")
    store.put("a/2", b"2")
    for _ in range(2):
        store.delete("a/1")
        assert store.list("a") == ["a/2"]
    assert not store.exists("a/1")


def test_a_deleted_tree_takes_nothing_else_with_it(store: ArtifactStore) -> None:
    for path in ("a/1", "a/2/x", "ab/1"):
        store.put(path, b"1")
    for _ in range(2):
        store.delete_tree("a")
        assert store.list("") == ["ab/1", "store-id"]
    store.put("a/1", b"again")
    assert store.list("a") == ["a/1"]


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "a//", "a/./"])
def test_nothing_is_done_beside_the_store_nor_to_all_of_it(store: ArtifactStore, path: str) -> None:
    digest = store.put("a/x/model", b"1")
    for attempt in (
        lambda: store.put(path, b"2"),
        lambda: store.get(path, None),
        lambda: store.exists(path),
        lambda: store.list(path),
        lambda: store.delete(path),
        lambda: store.delete_tree(path),
    ):
        with pytest.raises(ArtifactError, match="is no path in the store"):
            attempt()
    assert store.get("a/x/model", digest) == b"1"


def test_trees_deleted_by_several_at_once_are_gone(store: ArtifactStore) -> None:
    for index in range(200):
        store.put(f"a/{index % 20}/{index}", b"1")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store.delete_tree, ["a"] * 8))
    assert store.list("a") == []


def test_drafts_are_not_listed_and_found_by_their_age(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    store.put("a/model", b"1")
    drafts = [f"a/.model.{'0' * 32}", f"store-id.{'0' * 32}"]
    for draft in drafts:
        (tmp_path / draft).touch()
    assert store.list("") == ["a/model", "store-id"]
    assert store.drafts("", min_age=0) == drafts
    assert store.drafts("", min_age=60) == []
    os.utime(tmp_path / drafts[0], (0, 0))
    assert store.drafts("", min_age=60) == drafts[:1]
    store.delete_tree("a")
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_read_does_not_look_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    store = ArtifactStore(str(tmp_path))
    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(ArtifactError, match=r"below a cannot be listed in .* Input/output error"):
        store.list("a")


class CachedListings(MemoryFileSystem):
    """Remembers what it listed until told otherwise, as drivers of object stores do."""

    protocol = "cached-listings"
    store: ClassVar[dict[str, Any]] = {}
    listings: ClassVar[dict[str, list[str]]] = {}

    def find(self, path: str, *_: Any, **__: Any) -> list[str]:
        if path not in self.listings:
            self.listings[path] = super().find(path)
        return self.listings[path]

    def info(self, path: str, **_: Any) -> Any:
        if path not in self.find(posixpath.dirname(path)):
            raise FileNotFoundError(path)
        return super().info(path)

    def invalidate_cache(self, path: str | None = None) -> None:
        self.listings.clear()


def test_listings_show_what_other_processes_wrote() -> None:
    fsspec.register_implementation("cached-listings", CachedListings, clobber=True)
    mine, theirs = ArtifactStore("cached-listings://s"), ArtifactStore("cached-listings://s")
    assert mine.id == theirs.id
    assert mine.list("a") == []
    theirs.put("a/1", b"1")
    assert mine.list("a") == ["a/1"]
    assert not mine.exists("a/2")
    theirs.put("a/2", b"2")
    assert mine.exists("a/2")


class EndpointError(Exception):
    """As botocore raises when it finds no server: no OSError."""


def test_a_store_out_of_reach_is_said_so_whatever_its_driver_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise EndpointError("no server")

    store = ArtifactStore(f"memory://{tmp_path}")
    for name in ("find", "cat_file", "pipe_file", "rm_file", "info"):
        monkeypatch.setattr(MemoryFileSystem, name, fail)
    with pytest.raises(ArtifactError, match=r"a/1 cannot be read from memory:///.*: no server"):
        store.get("a/1", None)
    with pytest.raises(ArtifactError, match=r"a/1 cannot be written to memory:///.*: no server"):
        store.put("a/1", b"1")
    with pytest.raises(ArtifactError, match="below a cannot be listed in memory:///"):
        store.list("a")
    with pytest.raises(ArtifactError, match="a/1 cannot be deleted from memory:///"):
        store.delete("a/1")
    with pytest.raises(ArtifactError, match="below a cannot be listed in memory:///"):
        store.delete_tree("a")
    with pytest.raises(ArtifactError, match="a/1 cannot be looked for in memory:///"):
        store.exists("a/1")


def test_a_driver_that_reaches_nothing_when_it_is_made_is_said_so() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"ftp://me:secret@127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(ArtifactError, match=r"store ftp://me:\*\*\*@127.* cannot be opened: "):
            ArtifactStore(url)


class Talkative(MemoryFileSystem):
    """Says all that it knows, as drivers of servers do."""

    protocol = "talkative"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    broken: ClassVar[bool] = False
    password: ClassVar[str] = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()
        self.fail()

    @classmethod
    def fail(cls, *_: Any, **__: Any) -> Any:
        if cls.broken:
            raise EndpointError(f"cannot log in with {cls.password!r}")

    def info(self, path: str, **_: Any) -> Any:
        self.fail()
        return super().info(path)

    cat_file = pipe_file = find = rm_file = rm = modified = fail


@pytest.mark.parametrize(
    ("url", "safe", "password"),
    [
        ("me:secret@host/x", "me:***@host/x", "secret"),
        ("me:p%40ss@host/x", "me:***@host/x", "p@ss"),
        ("me:p@ss@host/a@b", "me:***@host/a@b", "p@ss"),
        ("me:sec#ret@host/x", "me:***@host/x", "sec#ret"),
        ("me:sec/ret@host/x", "me:***@host/x", "sec/ret"),
        ("me:sec#ret@host/x", "me:***@host/x", "sec"),
        (":secret@host", ":***@host", "secret"),
        ("host:2121/a?password=secret&n=1", "host:2121/a?password=***&n=1", "secret"),
        ("host/a?x=1&client_SECRET=a+b", "host/a?x=1&client_SECRET=***", "a b"),
    ],
)
def test_no_message_holds_a_password(
    url: str, safe: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("talkative", Talkative, clobber=True)
    monkeypatch.setattr(Talkative, "password", password)
    monkeypatch.setattr(ArtifactStore, "_read_or_create_id", lambda *_: "an id")
    store = ArtifactStore(f"talkative://{url}")
    assert (store.url, store.safe_url) == (f"talkative://{url}", f"talkative://{safe}")
    monkeypatch.setattr(Talkative, "broken", True)
    for fail in (
        lambda: ArtifactStore(f"talkative://{url}"),
        lambda: store.put("a", b"1"),
        lambda: store.get("a", None),
        lambda: store.list("a"),
        lambda: store.size("a"),
        lambda: store.age("a"),
        lambda: store.delete("a"),
        lambda: store.delete_tree("a"),
    ):
        with pytest.raises(ArtifactError) as caught:
            fail()
        assert f"talkative://{safe}" in str(caught.value)
        assert str(caught.value).endswith("cannot log in with '***'")
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["s3://bucket/a:b@c", "sftp://me@host/x", "http://host:8080/a@b", "ftp://h/?passive=no"]
)
def test_a_url_without_a_password_is_shown_as_it_is(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("talkative", Talkative, clobber=True)
    monkeypatch.setattr(ArtifactStore, "_read_or_create_id", lambda *_: "an id")
    shown = url.replace(url.partition(":")[0], "talkative", 1)
    assert ArtifactStore(shown).safe_url == shown


def test_a_url_that_cannot_be_parsed_keeps_its_password_to_itself() -> None:
    with pytest.raises(InputError) as caught:
        ArtifactStore("ftp://me:sec#ret@host/x")
    assert "sec" not in str(caught.value)
    assert "ret" not in str(caught.value)


def test_an_object_store_serves_as_well(tmp_path: Path) -> None:
    store = ArtifactStore(f"memory://{tmp_path}")
    digest = store.put("a/model", b"weights")
    assert ArtifactStore(store.url).id == store.id
    assert store.get("a/model", digest) == b"weights"


def test_size_and_age_of_a_file(store: ArtifactStore) -> None:
    store.put("a/1", b"12345")
    assert store.size("a/1") == 5
    assert 0 <= store.age("a/1") < 60
    assert (store.size("a/2"), store.age("a/2")) == (0, 0.0)


def test_age_is_since_the_last_write(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    store.put("a/1", b"1")
    written = (tmp_path / "a/1").stat().st_mtime - 1000
    os.utime(tmp_path / "a/1", (written, written))
    assert 1000 <= store.age("a/1") < 1060


def test_folders_that_a_deletion_leaves_empty_go_with_it(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path / "store"))
    for path in ("a/b/1", "a/2"):
        store.put(path, b"1")
    store.delete("a/b/1")
    assert not (tmp_path / "store/a/b").exists()
    assert store.exists("a/2")
    store.delete("store-id")
    store.delete("a/2")
    assert list((tmp_path / "store").iterdir()) == []


def test_writers_are_not_disturbed_when_their_folder_goes(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))

    def come_and_go(index: int) -> None:
        for _ in range(100):
            store.put(f"a/b/{index}", b"1")
            store.delete(f"a/b/{index}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(4)))
    assert store.list("a") == []
