import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hpo.artifacts import ArtifactStore
from hpo.errors import ArtifactError, InputError


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
    with pytest.raises(ArtifactError, match=r"/new: does not exist; name the one"):
        ArtifactStore(str(tmp_path / "new"), create=False)
    assert list(tmp_path.iterdir()) == []
    made = ArtifactStore(str(tmp_path / "new"))
    assert ArtifactStore(str(tmp_path / "new"), create=False).id == made.id


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
        "from hpo.artifacts import ArtifactStore\n"
        "ArtifactStore(sys.argv[1]).put('model', b'weights')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert not store.exists("model")


def test_a_url_of_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="gopher"):
        ArtifactStore("gopher://somewhere/else")


def test_a_place_that_cannot_hold_a_store_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="cannot be opened"):
        ArtifactStore(str(tmp_path / "file" / "store"))


def test_an_object_store_serves_as_well(tmp_path: Path) -> None:
    store = ArtifactStore(f"memory://{tmp_path}")
    digest = store.put("a/model", b"weights")
    assert ArtifactStore(store.url).id == store.id
    assert store.get("a/model", digest) == b"weights"
