"""Artifacts in an object store: a real S3 server behind a proxy that fails as networks do."""

import os
from pathlib import Path

import pytest

from hpo.config.errors import ArtifactError, HpoError, InputError
from hpo.files import remote
from hpo.files.store import ArtifactStore
from tests.support.servers import S3Server

pytestmark = pytest.mark.usefixtures("no_waits")


@pytest.fixture
def store(s3: S3Server) -> ArtifactStore:
    return ArtifactStore(f"{s3.bucket()}/some/folder")


def test_what_passes_is_tried_again(store: ArtifactStore, s3: S3Server) -> None:
    s3.n_refused = 2
    digest = store.put("a/model", b"weights")
    s3.n_refused = remote.TRIES - 1
    assert store.get("a/model", digest) == b"weights"
    s3.n_refused = 1
    assert store.exists("a/model")
    s3.n_refused = 1
    assert store.list("a") == ["a/model"]
    s3.n_refused = 1
    store.delete_tree("a")
    assert not store.exists("a/model")


def test_what_stays_is_not_tried_again(store: ArtifactStore, s3: S3Server, tmp_path: Path) -> None:
    s3.requests.clear()
    with pytest.raises(ArtifactError, match="artifact nothing cannot be read"):
        store.fetch("nothing", tmp_path / "copy")
    assert s3.asked("^GET /[^/]+/some/folder/nothing") == 1
    with pytest.raises(ArtifactError, match=r"s3://no-such-bucket cannot be opened: .*not exist"):
        ArtifactStore("s3://no-such-bucket")
    assert s3.asked("^HEAD /no-such-bucket") == s3.asked("^PUT /no-such-bucket") == 1


def test_an_answer_that_breaks_off_is_asked_for_again(
    store: ArtifactStore, s3: S3Server, tmp_path: Path
) -> None:
    digest = store.put("a/model", bytes(300_000))
    s3.n_cut = 1
    assert store.get("a/model", digest) == bytes(300_000)
    s3.n_cut = 1
    store.fetch("a/model", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == bytes(300_000)
    s3.n_cut = 99
    with pytest.raises(ArtifactError, match="artifact a/model cannot be read from s3://"):
        store.get("a/model", digest)


def test_an_answer_that_is_damaged_on_its_way_is_asked_for_again(
    store: ArtifactStore, s3: S3Server
) -> None:
    digest = store.put("a/model", b"weights")
    s3.n_spoilt = 2
    assert store.get("a/model", digest) == b"weights"
    assert s3.n_spoilt == 0


def test_one_that_is_damaged_in_the_store_is_said_so(store: ArtifactStore, s3: S3Server) -> None:
    digest = store.put("a/model", b"weights")
    store.put("a/model", b"weightz")
    with pytest.raises(ArtifactError, match=r"^artifact a/model in s3://.* is damaged: its SHA"):
        store.get("a/model", digest)


def test_while_a_store_is_away_nobody_waits_for_it(store: ArtifactStore, s3: S3Server) -> None:
    digest = store.put("a/model", b"weights")
    s3.n_refused = 99
    for n_asked in (remote.TRIES, 1, 1):
        s3.requests.clear()
        with pytest.raises(ArtifactError, match=r"a/model cannot be written to s3://\S+: "):
            store.put("a/model", b"more")
        assert len(s3.requests) == n_asked
    s3.n_refused = 0
    assert store.get("a/model", digest) == b"weights"
    s3.n_refused = 1
    assert store.exists("a/model")


def test_who_is_told_to_end_waits_for_no_server(store: ArtifactStore, s3: S3Server) -> None:
    store.hurry()
    s3.n_refused = 99
    for n_asked in (1, 0):
        s3.requests.clear()
        with pytest.raises(ArtifactError, match=r"a/model cannot be written to s3://\S+: "):
            store.put("a/model", b"more")
        assert len(s3.requests) == n_asked


def test_a_server_that_is_down_is_not_taken_for_an_empty_store(
    store: ArtifactStore, s3: S3Server
) -> None:
    s3.stop()
    with pytest.raises(ArtifactError, match="cannot be looked for in s3://"):
        store.exists("a/model")
    with pytest.raises(ArtifactError, match=r"cannot be opened: .*Could not connect"):
        ArtifactStore(store.url)
    s3.start()
    assert ArtifactStore(store.url, create=False).id == store.id


def test_a_server_that_is_silent_is_given_up(
    store: ArtifactStore, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "READ_SECONDS", 0.3)
    impatient = ArtifactStore(store.url)
    with s3.silent():
        s3.requests.clear()
        with pytest.raises(ArtifactError, match="Read timeout on endpoint URL"):
            impatient.put("a/model", b"weights")
        assert len(s3.requests) == remote.SILENT_TRIES
    assert impatient.list("a") in ([], ["a/model"])


def test_a_driver_that_is_not_installed_is_named() -> None:
    with pytest.raises(InputError, match=r"gs://bucket/a: .*\(pip install 'hpo\[gcs\]'\)$"):
        ArtifactStore("gs://bucket/a")


def test_whoever_opens_a_new_store_second_takes_the_id_of_the_first(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ArtifactStore, "_is_there", lambda *_: False)  # it looked before
    assert ArtifactStore(store.url).id == store.id


def test_a_file_is_written_from_a_file(store: ArtifactStore) -> None:
    store.put_by("tables/t", lambda path: path.write_bytes(b"table"))
    assert store.get("tables/t", None) == b"table"
    assert store.local_path("tables/t") is None


def test_no_key_shows(store: ArtifactStore, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    with pytest.raises(
        InputError, match=r"s3://KEY:\*\*\*@b/x: the URL must not contain a key: set AWS"
    ):
        ArtifactStore(f"s3://KEY:{secret}@b/x")

    def fail(*_: object) -> None:
        raise OSError(f"http://me:pass-word@host refused {secret}")

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:pass-word@host")
    monkeypatch.setattr(store._fs, "pipe_file", fail)
    with pytest.raises(ArtifactError, match=r"http://me:\*\*\*@host refused \*\*\*$"):
        store.put("a", b"1")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a", "https://me:secret@host/a"])
def test_what_can_only_be_read_is_no_store(url: str) -> None:
    with pytest.raises(HpoError, match="cannot be written to; name a folder") as caught:
        ArtifactStore(url)
    assert "secret" not in str(caught.value)
    assert caught.value.exit_code == 2
