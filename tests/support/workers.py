"""A worker in this process, and a study file for it."""

import os

from hpo.files.store import ArtifactStore
from hpo.storage.leases import WorkerId
from hpo.study.study import Study
from hpo.training.trainer import Trainer
from hpo.worker.loop import Worker
from hpo.worker.quota import Quota
from hpo.worker.timing import Timing

STUDY = """
name = "{name}"
[search_space.model]
depth = {{ type = "int", low = 1, high = 2 }}
width = 8
[search_space.optimizer]
name = "sgd"
learning_rate = {{ type = "float", low = 1e-3, high = {high}, log = true }}
[data]
source = "table.csv"
target = "y"
[objective]
metric = "rmse"
[training]
max_epochs = {max_epochs}
patience = {max_epochs}
gradient_clip = 0.0
[budget]
n_trials = {n_trials}
"""


def make_worker(study: Study, store: ArtifactStore, trainer: Trainer, **changes: object) -> Worker:
    """Create a worker for one study."""
    given = {
        "studies": lambda: [study],
        "storage": study.storage,
        "store": store,
        "trainer": trainer,
        "identity": WorkerId(host="here", pid=os.getpid(), device="cpu"),
        "quota": Quota(),
        "timing": Timing(),
    }
    return Worker(**{**given, **changes})  # type: ignore[arg-type]
