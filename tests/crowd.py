"""A worker of many: what the processes run that `gate.gather` starts, with all they will import.

Does not know: how many there are, what they train.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager

import alembic.command  # noqa: F401  # the storage's
import numpy.ma
import numpy.random  # noqa: F401  # the sampler's
import sqlalchemy.orm
import torch
import torch.fx.experimental.symbolic_shapes  # torch's own, half a second

from hpo.artifacts import ArtifactStore
from hpo.catalog import open_study
from hpo.storage.engine import open_storage
from hpo.study import Study, WorkerId
from hpo.training import Trainer
from hpo.worker.loop import Timing, Worker
from hpo.worker.quota import Quota

sqlalchemy.orm.configure_mappers()  # Optuna's


@contextmanager
def opened(storage_url: str, store_url: str, name: str) -> Iterator[tuple[Study, ArtifactStore]]:
    """A study and its artifact store, for as long as they are needed."""
    torch.set_num_threads(1)
    with closing(open_storage(storage_url, patience=60)) as storage:
        yield open_study(storage, name), ArtifactStore(store_url, create=False)


def make_worker(study: Study, store: ArtifactStore, trainer: Trainer, **changes: object) -> Worker:
    """A worker of this process's own."""
    given = {
        "studies": lambda: [study],
        "store": store,
        "trainer": trainer,
        "identity": WorkerId(host="here", pid=os.getpid(), device="cpu"),
        "quota": Quota(),
        "timing": Timing(),
    }
    return Worker(**{**given, **changes})  # type: ignore[arg-type]
