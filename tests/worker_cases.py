"""A worker of this process's own, for tests and benches."""

import os

from hpo.files.store import ArtifactStore
from hpo.storage.leases import WorkerId
from hpo.study.study import Study
from hpo.training import Trainer
from hpo.worker.loop import Timing, Worker
from hpo.worker.quota import Quota


def make_worker(study: Study, store: ArtifactStore, trainer: Trainer, **changes: object) -> Worker:
    """A worker for one study."""
    given = {
        "studies": lambda: [study],
        "store": store,
        "trainer": trainer,
        "identity": WorkerId(host="here", pid=os.getpid(), device="cpu"),
        "quota": Quota(),
        "timing": Timing(),
    }
    return Worker(**{**given, **changes})  # type: ignore[arg-type]
