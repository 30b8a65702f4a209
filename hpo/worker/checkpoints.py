"""Checkpoints of trials in the artifact store: file format, saving, and finding the latest.

A checkpoint is a safetensors file whose header holds the counters and measurements as JSON text;
loading it runs no code. Its name holds the step and the beginning of its digest. They tell, without
a database, how far the run had come and whether the file is intact:

    studies/<uuid>/trial-00017/checkpoints/000000004200-<32 hex digits>.safetensors

A trial has one checkpoint, and two while a newer one is written. A worker that has lost its lease
may still write one more. It belongs to the same run, so another worker may resume from it.
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
"""Increase by one when older code would misread a file written now. Keep reading every earlier
format, and keep a file of each under `tests/`. Format 1 lacks the loss of the best epoch."""

HEADER = "checkpoint"
_NAME = re.compile(r"(?P<step>\d{12})-(?P<digest>[0-9a-f]{32})\.safetensors")
_DRAFT_SECONDS = 600.0
"""A draft that was not written to for this long was left by a killed worker."""


@dataclass(frozen=True, kw_only=True)
class _Header:
    """What a file holds besides tensors; `best_loss` is None if unknown."""

    format: int
    measurements: tuple[Measurement, ...]
    best_step: int
    best_loss: float | None = None
    n_steps: int
    n_epochs: int
    seconds: float
    environment: Environment


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """Encode a checkpoint as a file's content."""
    fields = {key: value for key, value in vars(checkpoint).items() if key != "tensors"}
    fields["best_loss"] = checkpoint.best_loss if math.isfinite(checkpoint.best_loss) else None
    header = json.dumps(asdict(_Header(format=FORMAT, **fields)))
    return safetensors.torch.save(checkpoint.tensors, {HEADER: header})


def from_bytes(content: bytes, where: str) -> Checkpoint:
    """Decode what `to_bytes` encoded.

    Args:
        content: of a file.
        where: name of the file, for error messages.

    Raises:
        ArtifactError: the file is not a checkpoint, or its format is newer.
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
    """Write a trial's checkpoint durably, then remove its older ones.

    Returns:
        Its path in the store.

    Raises:
        ArtifactError: it could not be written; the older ones still exist.
    """
    folder, content = checkpoints_path(study_uuid, number), to_bytes(checkpoint)
    digest = hashlib.sha256(content).hexdigest()[:32]
    step = f"{checkpoint.n_steps:012d}"
    path = f"{folder}/{step}-{digest}.safetensors"
    store.put(path, content)
    try:
        others = [other for other in _checkpoints(store, folder) if other != path]
        older = [other for other in others if posixpath.basename(other)[:12] <= step]
        for old in [*older, *store.drafts(folder, _DRAFT_SECONDS)]:
            store.delete(old)
    except ArtifactError as error:  # the next save removes them
        log.warning("older checkpoints of trial %d could not be removed: %s", number, error)
    return path


def latest(store: ArtifactStore, study_uuid: str, number: int) -> Checkpoint | None:
    """The readable checkpoint of a trial with the most steps, if there is one.

    Damaged checkpoints are skipped with a warning.

    Raises:
        ArtifactError: the store is unavailable.
    """
    folder = checkpoints_path(study_uuid, number)
    failed: set[str] = set()
    # List again after each failure: a checkpoint vanishes once a newer one is written.
    while paths := [path for path in _checkpoints(store, folder) if path not in failed]:
        try:
            return _read(store, paths[-1])
        except ArtifactError as error:
            failed.add(paths[-1])
            if store.exists(paths[-1]):
                log.warning("skipped a checkpoint of trial %d: %s", number, error)
    return None


def remove(store: ArtifactStore, study_uuid: str, number: int) -> None:
    """Delete all checkpoints of a trial.

    Raises:
        ArtifactError: they cannot be deleted, or the store is unavailable.
    """
    store.delete_tree(checkpoints_path(study_uuid, number))


def _checkpoints(store: ArtifactStore, folder: str) -> list[str]:
    """Paths of a trial's checkpoints, sorted by step."""
    return [path for path in store.list(folder) if _NAME.fullmatch(posixpath.basename(path))]


def _read(store: ArtifactStore, path: str) -> Checkpoint:
    content = store.get(path, digest=None)
    found = hashlib.sha256(content).hexdigest()[:32]
    if f"-{found}." not in posixpath.basename(path):
        raise ArtifactError(
            f"artifact {path} in {store.safe_url} is damaged: its SHA-256 begins with {found[:16]}…"
        )
    return from_bytes(content, f"{path} in {store.safe_url}")
