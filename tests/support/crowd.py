"""A worker among many processes that `gate.gather` starts, and the modules that it imports."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import alembic.command  # noqa: F401  # the storage's
import numpy.ma
import numpy.random  # noqa: F401  # the sampler's
import sqlalchemy.orm
import torch
import torch.fx.experimental.symbolic_shapes  # torch's own, half a second

from hpo.files.store import ArtifactStore
from hpo.storage.engine import open_storage
from hpo.study.catalog import open_study
from hpo.study.study import Study

sqlalchemy.orm.configure_mappers()  # Optuna's


@contextmanager
def opened(storage_url: str, store_url: str, name: str) -> Iterator[tuple[Study, ArtifactStore]]:
    """Open a study and its artifact store, and close them."""
    torch.set_num_threads(1)
    with closing(open_storage(storage_url, patience=60)) as storage:
        yield open_study(storage, name), ArtifactStore(store_url, create=False)
