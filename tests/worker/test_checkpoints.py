import json
import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from hpo.config.errors import ArtifactError
from hpo.config.trial import Environment, Measurement
from hpo.files.store import ArtifactStore, checkpoints_path
from hpo.training.checkpoint import Checkpoint
from hpo.worker.checkpoints import FORMAT, HEADER, from_bytes, latest, remove, save, to_bytes
from tests.support.paths import EARLIER_VERSIONS

STUDY, NUMBER = "3f0c", 17
FOLDER = f"studies/{STUDY}/trial-00017/checkpoints"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    urls = {"local": f"{tmp_path}/store", "memory": f"memory://{tmp_path}"}
    return ArtifactStore(urls[request.param])


def make_checkpoint(n_steps: int = 42) -> Checkpoint:
    generator = torch.Generator().manual_seed(n_steps)
    return Checkpoint(
        tensors={
            "values": torch.randn(100, generator=generator),
            "best_values": torch.randn(100, generator=generator),
            "optimizer.step": torch.tensor(42.0),
        },
        measurements=(Measurement(step=1, value=0.1), Measurement(step=2, value=1 / 3)),
        best_step=1,
        best_loss=0.7,
        n_steps=n_steps,
        n_epochs=2,
        seconds=1.7,
        environment=Environment(device="a", n_threads=2, precision="bfloat16", torch="2.9"),
    )


def same(a: Checkpoint | None, b: Checkpoint | None) -> bool:
    if a is None or b is None or a.tensors.keys() != b.tensors.keys():
        return False
    rest_a, rest_b = {**vars(a), "tensors": None}, {**vars(b), "tensors": None}
    return rest_a == rest_b and all(torch.equal(a.tensors[k], b.tensors[k]) for k in a.tensors)


def damage(store: ArtifactStore, path: str) -> None:
    content = bytearray(store.get(path, None))
    content[-1] ^= 1
    store.put(path, bytes(content))


def test_a_checkpoint_comes_back_to_the_bit() -> None:
    checkpoint = make_checkpoint()
    checkpoint.tensors["values"][:3] = torch.tensor([float("nan"), float("inf"), -0.0])
    found = from_bytes(to_bytes(checkpoint), "it")
    for name, tensor in checkpoint.tensors.items():
        assert torch.equal(found.tensors[name].view(torch.int32), tensor.view(torch.int32))
    assert {**vars(found), "tensors": None} == {**vars(checkpoint), "tensors": None}
    assert to_bytes(found) == to_bytes(checkpoint)


@pytest.mark.parametrize("version", range(1, FORMAT))
def test_a_stored_file_of_every_earlier_format_is_read(version: int) -> None:
    """A run of three classes, at its twelfth step."""
    content = (EARLIER_VERSIONS / f"checkpoints/format_{version}.safetensors").read_bytes()
    found = from_bytes(content, "it")
    assert (found.n_steps, found.n_epochs, found.best_step) == (12, 2, 2)
    assert [measured.value for measured in found.measurements] == [0.275, 0.335]
    assert math.isnan(found.best_loss)
    assert from_bytes(to_bytes(found), "it").measurements == found.measurements
    assert math.isnan(from_bytes(to_bytes(found), "it").best_loss)


def header(**changes: Any) -> dict[str, str]:
    content = to_bytes(make_checkpoint())
    length = int.from_bytes(content[:8], "little")
    known = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])
    return {HEADER: json.dumps({**known, **changes})}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "it: is not a checkpoint"),
        (b"\x80\x04 pickled", "it: is not a checkpoint"),
        (to_bytes(make_checkpoint())[:-1], "it: is not a checkpoint"),
        (safetensors.torch.save({"values": torch.zeros(1)}), "it: is not a checkpoint"),
        (safetensors.torch.save({}, {"format": "1"}), "it: is not a checkpoint"),
        (safetensors.torch.save({}, {HEADER: "[]"}), "it: is not a checkpoint"),
        (safetensors.torch.save({}, {HEADER: "{}"}), "it: is not a checkpoint"),
        (
            safetensors.torch.save({}, header(format=FORMAT + 1)),
            f"it: must be a checkpoint of format 1 to {FORMAT}, but got {FORMAT + 1}",
        ),
        (safetensors.torch.save({}, header(n_steps="5")), 'it: n_steps: must be .* got "5"'),
    ],
)
def test_foreign_content_is_refused(content: bytes, complaint: str) -> None:
    with pytest.raises(ArtifactError, match=complaint):
        from_bytes(content, "it")


def test_a_trial_without_checkpoints_has_no_latest(store: ArtifactStore) -> None:
    assert latest(store, STUDY, NUMBER) is None
    save(store, STUDY, NUMBER + 1, make_checkpoint())
    save(store, "other", NUMBER, make_checkpoint())
    assert latest(store, STUDY, NUMBER) is None


def test_a_saved_checkpoint_is_found_and_older_ones_are_removed(store: ArtifactStore) -> None:
    for n_steps in (9, 10, 1000):
        path = save(store, STUDY, NUMBER, make_checkpoint(n_steps))
        assert store.list(FOLDER) == [path]
        assert path.startswith(f"{FOLDER}/{n_steps:012d}-")
        assert same(latest(store, STUDY, NUMBER), make_checkpoint(n_steps))


def test_the_same_checkpoint_saved_again_is_the_same_file(store: ArtifactStore) -> None:
    paths = {save(store, STUDY, NUMBER, make_checkpoint()) for _ in range(2)}
    assert store.list(FOLDER) == list(paths)
    other = save(store, STUDY, NUMBER, replace(make_checkpoint(), seconds=2.0))
    assert store.list(FOLDER) == [other]


def test_a_worker_that_lost_its_lease_does_no_harm(store: ArtifactStore) -> None:
    save(store, STUDY, NUMBER, make_checkpoint(300))
    save(store, STUDY, NUMBER, make_checkpoint(200))
    assert same(latest(store, STUDY, NUMBER), make_checkpoint(300))
    save(store, STUDY, NUMBER, make_checkpoint(400))
    assert len(store.list(FOLDER)) == 1


def test_the_new_one_is_there_before_an_old_one_goes(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(store, STUDY, NUMBER, make_checkpoint(1))
    delete, counts = store.delete, []

    def counted(path: str) -> None:
        counts.append(len(store.list(FOLDER)))
        delete(path)

    monkeypatch.setattr(store, "delete", counted)
    save(store, STUDY, NUMBER, make_checkpoint(2))
    assert counts == [2]


def test_a_checkpoint_that_cannot_be_written_costs_none_of_the_others(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    save(store, STUDY, NUMBER, make_checkpoint(1))
    new = make_checkpoint(2)
    path = save(store, STUDY, NUMBER + 1, new).replace("trial-00018", "trial-00017")
    (tmp_path / path).mkdir()  # in the way
    with pytest.raises(ArtifactError, match="cannot be written"):
        save(store, STUDY, NUMBER, new)
    assert same(latest(store, STUDY, NUMBER), make_checkpoint(1))


def test_older_ones_that_cannot_be_removed_are_left(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str) -> None:
        raise ArtifactError(f"artifact {path} cannot be deleted")

    save(store, STUDY, NUMBER, make_checkpoint(1))
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", refuse)
        save(store, STUDY, NUMBER, make_checkpoint(2))
    assert "older checkpoints of trial 17 could not be removed" in caplog.text
    assert same(latest(store, STUDY, NUMBER), make_checkpoint(2))
    save(store, STUDY, NUMBER, make_checkpoint(3))
    assert len(store.list(FOLDER)) == 1


def both(store: ArtifactStore) -> tuple[str, str]:
    """Two checkpoints of the trial, as when a worker is killed between writing and removing."""
    newer = save(store, STUDY, NUMBER, make_checkpoint(300))
    return save(store, STUDY, NUMBER, make_checkpoint(200)), newer


def test_a_damaged_one_is_passed_over_with_a_warning(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = both(store)
    damage(store, newer)
    assert same(latest(store, STUDY, NUMBER), make_checkpoint(200))
    assert f"skipped a checkpoint of trial 17: artifact {newer}" in caplog.text
    assert "is damaged" in caplog.text
    damage(store, older)
    assert latest(store, STUDY, NUMBER) is None


def test_one_of_a_newer_format_is_passed_over(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as tomorrow:
        tomorrow.setattr("hpo.worker.checkpoints.FORMAT", FORMAT + 1)
        save(store, STUDY, NUMBER, make_checkpoint(300))
    save(store, STUDY, NUMBER, make_checkpoint(200))
    assert same(latest(store, STUDY, NUMBER), make_checkpoint(200))
    assert f"must be a checkpoint of format 1 to {FORMAT}, but got {FORMAT + 1}" in caplog.text


class Raced(ArtifactStore):
    """Another worker saves and removes just after this one has listed."""

    def list(self, prefix: str) -> Any:
        found = super().list(prefix)
        if found and "-" in found[-1] and "000000000300" not in found[-1]:
            save(ArtifactStore(self.url), STUDY, NUMBER, make_checkpoint(300))
        return found


def test_one_that_vanishes_gives_way_to_the_one_that_replaced_it(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    save(store, STUDY, NUMBER, make_checkpoint(200))
    with caplog.at_level(logging.WARNING):
        assert same(latest(Raced(store.url), STUDY, NUMBER), make_checkpoint(300))
    assert caplog.text == ""


def test_foreign_files_are_left_alone(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(f"{FOLDER}/000-notes.txt", b"mine")
    assert latest(store, STUDY, NUMBER) is None
    assert caplog.text == ""
    save(store, STUDY, NUMBER, make_checkpoint())
    assert f"{FOLDER}/000-notes.txt" in store.list(FOLDER)


def test_removing_takes_all_of_one_trial(store: ArtifactStore) -> None:
    both(store)
    other = save(store, STUDY, NUMBER + 1, make_checkpoint())
    for _ in range(2):
        remove(store, STUDY, NUMBER)
        assert store.list("studies") == [other]


def test_drafts_of_killed_writers_go_with_the_next_checkpoint(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    save(store, STUDY, NUMBER, make_checkpoint(1))
    folder = tmp_path / checkpoints_path(STUDY, NUMBER)
    young, old = folder / f".new.{'0' * 32}", folder / f".new.{'1' * 32}"
    for draft in (young, old):
        draft.write_bytes(b"half")
    os.utime(old, (0, 0))
    save(store, STUDY, NUMBER, make_checkpoint(2))
    assert young.exists()
    assert not old.exists()
