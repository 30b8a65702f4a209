"""delete, gc, logs and storage copy as they are typed: exit codes, and what is left."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hpo.files.store import ArtifactStore, trial_path
from hpo.storage.engine import Storage, open_storage
from hpo.study.catalog import open_study
from hpo.study.study import Study
from tests.support.command_line import hpo, run_process
from tests.support.every_state import grow_old, study_in_every_state, unnamed
from tests.support.small_study import write_study
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def storage(storage_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    monkeypatch.setenv("HPO_STORAGE", storage_url)
    with closing(open_storage(storage_url)) as opened:
        yield opened


@pytest.fixture
def store(folder: Path) -> ArtifactStore:
    return ArtifactStore("hpo-artifacts")


@pytest.fixture
def study(storage: Storage, store: ArtifactStore) -> Study:
    return study_in_every_state(storage, store)


def names() -> list[str]:
    return [status["name"] for status in hpo("studies", "--json").document]


class TestDelete:
    def test_refuses_while_workers_live_and_asks_where_it_can(
        self, study: Study, store: ArtifactStore
    ) -> None:
        before = store.list("")
        unasked = hpo("delete", "study")
        assert unasked.code == 2
        assert "pass --yes" in unasked.err
        busy = hpo("delete", "study", "--yes")
        assert busy.code == 2
        assert "worked on by process 1 on here" in busy.err
        assert busy.err.count("\n") == 1
        assert (names(), store.list("")) == (["study"], before)
        done = hpo("delete", "study", "--yes", "--force")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("deleted study: 5 trials, 20 files, ")
        assert (names(), store.list("")) == ([], ["store-id"])

    def test_of_what_is_not_there_is_said_so(self, study: Study) -> None:
        done = hpo("delete", "stud", "--yes")
        assert (done.code, 'did you mean "study"' in done.err) == (2, True)
        ArtifactStore("other")
        done = hpo("delete", "study", "--yes", "--force", "--artifacts", "other")
        assert (done.code, "in another store: name" in done.err) == (2, True)
        assert names() == ["study"]

    def test_may_leave_the_files_to_gc(self, study: Study, store: ArtifactStore) -> None:
        done = hpo("delete", "study", "--yes", "--force", "--keep-artifacts")
        assert done.code == 0
        assert len(store.list("")) > 1
        grow_old(store)
        assert hpo("gc").code == 0
        assert store.list("") == ["store-id"]

    @pytest.mark.slow
    @pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, []), ("n", 1, ["study"])])
    def test_asks_on_a_terminal(
        self, storage: Storage, store: ArtifactStore, answer: str, code: int, left: list[str]
    ) -> None:
        study_in_every_state(storage, store, lease=0.01)
        terminal, theirs = pty.openpty()
        command = [sys.executable, "-m", "hpo", "delete", "study"]
        process = subprocess.Popen(
            command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        os.write(terminal, f"{answer}\n".encode())
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, err
        assert "with all its trials and weights? [y/N]" in err
        assert out.startswith("deleted study") == (answer == "y")
        assert names() == left
        for end in (terminal, theirs):
            os.close(end)


class TestGc:
    @pytest.mark.slow
    def test_says_what_it_would_do_and_does_it(self, study: Study, store: ArtifactStore) -> None:
        grow_old(store)
        looked = hpo("gc", "--dry-run", "--json").document
        paths = {file["path"] for file in looked["files"]}
        assert {p for p in paths if "checkpoints" not in p} == {
            p for p in unnamed(study) if "checkpoints" not in p
        }
        assert looked["n_files"] == len(paths) == 8
        assert looked["n_bytes"] == sum(file["n_bytes"] for file in looked["files"]) > 0
        assert hpo("gc", "--dry-run").out.splitlines()[-1].startswith("would remove 8 files, ")
        done = hpo("gc")
        assert (done.code, done.err) == (0, "")
        assert done.out.splitlines() == [
            "     5  attempt",
            "     3  checkpoint",
            f"removed 8 files, {looked['n_bytes']} bytes",
        ]
        assert not paths & set(store.list(""))

    def test_names_the_studies_that_it_leaves(
        self, study: Study, store: ArtifactStore, folder: Path
    ) -> None:
        grow_old(store)
        with closing(open_storage(f"sqlite:///{folder}/other.db")):
            pass
        before = store.list("")
        done = hpo("gc", "--storage", "sqlite:///other.db")
        assert (done.code, store.list("")) == (0, before)
        assert done.err == "left the files of studies that this storage never held: study\n"
        done = hpo("gc", "--storage", "sqlite:///other.db", "--unknown")
        assert (done.code, done.err, store.list("")) == (0, "", ["store-id"])


class TestLogs:
    @pytest.mark.slow
    def test_go_to_stdout_and_their_headings_to_stderr(self, study: Study) -> None:
        done = hpo("logs", "study", 0)
        assert done.out == "log.txt of 0, attempt 1\nlog.txt of 0, attempt 2\n"
        assert done.err == "attempt 1:\nattempt 2:\n"
        assert hpo("logs", "study", 0, "--attempt", 2).out == "log.txt of 0, attempt 2\n"

    def test_that_are_not_there_are_said_so(self, study: Study, store: ArtifactStore) -> None:
        store.delete(trial_path(study.uuid, 2, 1, "log.txt"))
        for arguments, code in (((2,), 1), ((7,), 2), ((0, "--attempt", 5), 2)):
            done = hpo("logs", "study", *arguments)
            assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)


class TestCopy:
    def test_moves_or_copies(self, storage: Storage, store: ArtifactStore, folder: Path) -> None:
        study = study_in_every_state(storage, store, lease=0.01)
        target = "sqlite:///to.db"
        done = hpo("storage", "copy", storage.url, target, "--to-artifacts", "copies")
        assert (done.code, done.err) == (0, "")
        assert done.out == "copied study: 5 trials, 19 files\n"
        assert names() == ["study"]
        again = hpo("storage", "copy", storage.url, target)
        assert (again.code, "has a study study already" in again.err) == (2, True)
        done = hpo("storage", "copy", storage.url, "sqlite:///elsewhere.db", "--study", "study")
        assert (done.code, done.out) == (0, "moved study: 5 trials\n")
        assert names() == []
        assert "has moved from" in hpo("studies").err
        with closing(open_storage("sqlite:///elsewhere.db")) as elsewhere:
            assert open_study(elsewhere, "study").uuid == study.uuid

    def test_of_what_is_not_there_is_said_so(self, study: Study) -> None:
        done = hpo("storage", "copy", "sqlite:///none.db", "sqlite:///to.db")
        assert (done.code, "does not exist yet" in done.err) == (1, True)
        done = hpo("storage", "copy", os.environ["HPO_STORAGE"], "oracle://x")
        assert (done.code, "must begin with" in done.err) == (2, True)
        done = hpo("storage", "copy", os.environ["HPO_STORAGE"], "sqlite:///to.db", "--study", "s")
        assert (done.code, "no study s in" in done.err) == (2, True)
        assert not Path("to.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("delete", "study", "--yes", "--force"),
        ("gc",),
        ("logs", "study", 0),
        ("storage", "copy", "{storage}", "sqlite:///to.db", "--to-artifacts", "copies"),
    ],
)
def test_no_artifact_store_is_made_where_one_should_be(
    storage: Storage, store: ArtifactStore, folder: Path, command: tuple[object, ...]
) -> None:
    study_in_every_state(storage, store, lease=0.01)
    before = {path.name for path in folder.iterdir()}
    words = [str(word).format(storage=storage.url) for word in command]
    done = hpo(*words, "--artifacts", "nowhere")
    assert (done.code, "/nowhere: does not exist; set --artifacts" in done.err) == (1, True)
    assert ("--keep-artifacts" in done.err) == (command[0] == "delete")
    assert {path.name for path in folder.iterdir()} == before
    assert names() == ["study"]


@pytest.mark.slow
@pytest.mark.parametrize("artifacts", ["stay", "go along"])
def test_a_study_begun_on_sqlite_goes_on_in_postgresql(
    folder: Path, postgresql_url: str, artifacts: str
) -> None:
    file = write_study(folder, n_trials=2)
    assert run_process("run", file, "--workers", 1, cwd=folder).returncode == 0
    along = [] if artifacts == "stay" else ["--to-artifacts", "copies"]
    assert hpo("storage", "copy", "sqlite:///hpo.db", postgresql_url, *along).code == 0
    there = ["--storage", postgresql_url]
    begun = hpo("leaderboard", "small", "--json", *there).document
    assert len(begun) == 2
    if along:
        (folder / "hpo-artifacts").rename(folder / "gone")
        there += ["--artifacts", "copies"]
    assert hpo("create", file, "--n-trials", "4", *there).code == 0
    done = run_process("worker", "small", "--workers", 1, *there, cwd=folder)
    assert done.returncode == 0, done.stderr
    ended = hpo("leaderboard", "small", "--json", *there[:2]).document
    assert [row["number"] for row in sorted(ended, key=lambda row: row["number"])] == [0, 1, 2, 3]
    assert all(row in ended for row in begun)
    exported = hpo("export", "small", "--top", 4, "--out", "winners", *there)
    assert (exported.code, len(exported.out.splitlines())) == (0, 4), exported.err
    assert hpo("gc", "--json", *there).document["files"] == []


@pytest.mark.slow
def test_a_worker_whose_study_is_deleted_ends_quietly(folder: Path, storage: Storage) -> None:
    text = write_study(folder, n_rows=4000, n_trials=500).read_text()
    file = folder / "long.toml"
    file.write_text(text.replace("max_epochs = 4", "max_epochs = 4000\npatience = 4000"))
    assert hpo("create", file).code == 0
    command = [sys.executable, "-m", "hpo", "worker", "small", "--workers", "1"]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: hpo("status", "small", "--json").document["state"] == "running")
    refused = hpo("delete", "small", "--yes")
    assert (refused.code, f" on {os.uname().nodename}" in refused.err) == (2, True)
    assert hpo("delete", "small", "--yes", "--force").code == 0
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, err
    assert "Traceback" not in err
    assert "study small is no longer in" in err
    assert out == ""
    assert names() == []
