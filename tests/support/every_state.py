"""A study with a trial in every state, with artifacts in use and others."""

import hashlib
import os
from pathlib import Path

from hpo.config.trial import Measurement
from hpo.files.store import ArtifactStore, checkpoints_path, study_path, table_path, trial_path
from hpo.lifecycle.housekeeping import write_owner
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study
from hpo.study.claim import Claim
from hpo.study.study import Study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
DAY = 86400.0


def claim(study: Study, lease: float = 60.0) -> Claim:
    claimed = study.ask(ME, lease)
    assert claimed is not None
    return claimed


def put_checkpoint(store: ArtifactStore, study: Study, number: int) -> str:
    content = f"checkpoint of {number}".encode()
    digest = hashlib.sha256(content).hexdigest()[:32]
    path = f"{checkpoints_path(study.uuid, number)}/{7:012d}-{digest}.safetensors"
    store.put(path, content)
    return path


def study_in_every_state(
    storage: Storage, store: ArtifactStore, name: str = "study", lease: float = 60.0
) -> Study:
    """Create the study: trial 0 is COMPLETE (attempt 2), 1 PRUNED, 2 FAIL, 3 WAITING, 4 RUNNING."""
    study = create_study(storage, definition(name=name), store.id)
    store.put(table_path("f"), b"table")
    write_owner(store, study)
    study.release(claim(study))
    complete, pruned, failed, waiting, running = (claim(study, lease) for _ in range(5))
    for number, attempt in ((0, 1), (0, 2), (1, 1), (2, 1), (3, 1), (4, 1)):
        for file in ("model.safetensors", "log.txt"):
            text = f"{file} of {number}, attempt {attempt}\n"
            store.put(trial_path(study.uuid, number, attempt, file), text.encode())
        put_checkpoint(store, study, number)
    store.put(trial_path(study.uuid, 0, 2, "test_metrics.json"), b"{}")
    curve = [Measurement(step=1, value=2.0), Measurement(step=2, value=1.0)]
    study.report({complete: curve, pruned: curve[:1], waiting: curve, running: curve})
    artifact = trial_path(study.uuid, 0, 2, "model.safetensors")
    sha256 = hashlib.sha256(store.get(artifact, None)).hexdigest()
    study.finish(complete, "COMPLETE", 1.0, {"artifact": artifact, "sha256": sha256})
    study.finish(pruned, "PRUNED", 2.0, {"reason": "median pruner"})
    study.finish(failed, "FAIL", None, {"reason": "no luck"})
    study.release(waiting)
    return study


def unnamed(study: Study) -> set[str]:
    """Paths, or their beginnings, of artifacts that housekeeping may remove."""
    return {
        trial_path(study.uuid, 0, 1, "model.safetensors"),
        trial_path(study.uuid, 0, 1, "log.txt"),
        trial_path(study.uuid, 1, 1, "model.safetensors"),
        trial_path(study.uuid, 1, 1, "log.txt"),
        trial_path(study.uuid, 2, 1, "model.safetensors"),
        *(checkpoints_path(study.uuid, number) for number in (0, 1, 2)),
    }


def grow_old(store: ArtifactStore, seconds: float = DAY, below: str = "") -> None:
    """Backdate the files of a local store."""
    for path in Path(store.url, below).rglob("*"):
        written = path.stat().st_mtime - seconds
        os.utime(path, (written, written))


def files(store: ArtifactStore, study: Study) -> set[str]:
    """Artifacts of a study; checkpoints by their folder."""
    return {
        path.rpartition("/")[0] if "/checkpoints/" in path else path
        for path in store.list(study_path(study.uuid, ""))
    }
