"""Checkpoints of trials in the artifact store: their file, and which of them to go on from.

The file is safetensors with the counters and measurements in its header, as JSON text; nothing in
it can run code. Its name holds the step and the beginning of its digest, so that whoever finds it
can tell without a database how far it goes and whether it is whole:

    studies/<uuid>/trial-00017/checkpoints/000000004200-<32 hex digits>.safetensors

A trial has one checkpoint, and two while a newer one is written. A worker that has lost its lease
may still write one more: it is of the same run, and whoever takes the trial up may go on from it.
"""

import hashlib
import json
import logging
import math
import posixpath
import re
from dataclasses import asdict, dataclass
from typing import Any

import safetensors
import safetensors.torch

from hpo.config.errors import ArtifactError, HpoError
from hpo.config.parsing import validate
from hpo.config.trial import Environment, Measurement
from hpo.files.store import ArtifactStore, checkpoints_path
from hpo.training.checkpoint import Checkpoint

log = logging.getLogger(__name__)

FORMAT = 2
"""Raise by one when a file written today would be misread by yesterday's code; keep the reader of
every earlier number, and a file of it under `tests/`. Format 1 lacks the loss of the best epoch."""

HEADER = "checkpoint"
NAME = re.compile(r"(?P<step>\d{12})-(?P<digest>[0-9a-f]{32})\.safetensors")
DRAFT_SECONDS = 600.0
"""After so long without a write, the draft of a checkpoint is taken for a killed worker's."""


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What a file holds besides tensors; `best_loss` is None where it is unknown."""

    format: int
    measurements: tuple[Measurement, ...]
    best_step: int
    best_loss: float | None = None
    n_steps: int
    n_epochs: int
    seconds: float
    environment: Environment


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """The file's content."""
    fields = {key: value for key, value in vars(checkpoint).items() if key != "tensors"}
    fields["best_loss"] = checkpoint.best_loss if math.isfinite(checkpoint.best_loss) else None
    header = json.dumps(asdict(_Header(format=FORMAT, **fields)))
    return safetensors.torch.save(checkpoint.tensors, {HEADER: header})


def from_bytes(content: bytes, where: str) -> Checkpoint:
    """Read what `to_bytes` wrote.

    Args:
        content: of a file.
        where: the file's name, which opens a complaint.

    Raises:
        ArtifactError: it is no checkpoint of ours, or of a newer format.
    """
    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        found = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        fields: dict[str, Any] = json.loads(found[HEADER])
        version = fields["format"]
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError):
        raise ArtifactError(f"{where}: is not a checkpoint, or only a part of one") from None
    if version not in range(1, FORMAT + 1):
        raise ArtifactError(
            f"{where}: must be a checkpoint of format 1 to {FORMAT}, but got {version}"
        )
    try:
        header: _Header = validate(_Header, fields, where)
    except HpoError as error:
        raise ArtifactError(str(error)) from None
    known = {key: value for key, value in vars(header).items() if key != "format"}
    if header.best_loss is None:
        known["best_loss"] = math.nan
    return Checkpoint(tensors=tensors, **known)


def save(store: ArtifactStore, study_uuid: str, number: int, checkpoint: Checkpoint) -> str:
    """Write a trial's checkpoint, durable before its older ones are removed.

    Returns:
        Its path in the store.

    Raises:
        ArtifactError: it could not be written; the older ones are still there.
    """
    folder, content = checkpoints_path(study_uuid, number), to_bytes(checkpoint)
    digest = hashlib.sha256(content).hexdigest()[:32]
    path = f"{folder}/{checkpoint.n_steps:012d}-{digest}.safetensors"
    store.put(path, content)
    try:
        for old in [*_older(store, path), *store.drafts(folder, DRAFT_SECONDS)]:
            store.delete(old)
    except ArtifactError as error:  # the next one will remove them
        log.warning("older checkpoints of trial %d could not be removed: %s", number, error)
    return path


def latest(store: ArtifactStore, study_uuid: str, number: int) -> Checkpoint | None:
    """A trial's checkpoint with the most steps that can be read; None where there is none.

    One that is damaged is passed over with a warning.

    Raises:
        ArtifactError: the store is out of reach.
    """
    folder = checkpoints_path(study_uuid, number)
    failed: set[str] = set()
    # Listed anew after each failure: a checkpoint vanishes when a newer one has been written.
    while paths := [path for path in _checkpoints(store, folder) if path not in failed]:
        try:
            return _read(store, paths[-1])
        except ArtifactError as error:
            failed.add(paths[-1])
            if store.exists(paths[-1]):
                log.warning("a checkpoint of trial %d is passed over: %s", number, error)
    return None


def remove(store: ArtifactStore, study_uuid: str, number: int) -> None:
    """Delete all checkpoints of a trial.

    Raises:
        ArtifactError: they cannot be deleted, or the store is out of reach.
    """
    store.delete_tree(checkpoints_path(study_uuid, number))


def _checkpoints(store: ArtifactStore, folder: str) -> list[str]:
    """The paths of a trial's checkpoints, by steps."""
    return [path for path in store.list(folder) if NAME.fullmatch(posixpath.basename(path))]


def _older(store: ArtifactStore, path: str) -> list[str]:
    """The other checkpoints of the trial that go no further than this one."""
    folder, name = posixpath.split(path)
    others = [other for other in _checkpoints(store, folder) if other != path]
    return [other for other in others if posixpath.basename(other)[:12] <= name[:12]]


def _read(store: ArtifactStore, path: str) -> Checkpoint:
    content = store.get(path, digest=None)
    found = hashlib.sha256(content).hexdigest()[:32]
    if f"-{found}." not in posixpath.basename(path):
        raise ArtifactError(
            f"artifact {path} in {store.safe_url} is damaged: its SHA-256 begins with {found[:16]}…"
        )
    return from_bytes(content, f"{path} in {store.safe_url}")
