"""Tables of studies: where they are kept, and how every process that needs one reads it.

A study's table is in its artifact store, under its fingerprint, or stays at its source where the
study says `copy = false`. What is not on this machine is read by way of its cache, which keeps the
typed table. Wherever it comes from, it is what its fingerprint says, or it is refused.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hpo.config.definition import StudyData
from hpo.config.errors import ArtifactError, DataError
from hpo.data.format_1 import read_recorded
from hpo.data.table import Table
from hpo.files.cache import cached
from hpo.files.remote import is_remote
from hpo.files.store import ArtifactStore, table_path
from hpo.models.experiment import Experiment


def keep_table(store: ArtifactStore, table: Table, data: StudyData) -> None:
    """Put a study's table into the artifact store, unless it is there or is to stay where it is.

    Raises:
        ArtifactError: it cannot be written.
    """
    path = table_path(data.fingerprint)
    if data.copy and not store.exists(path):
        store.put_by(path, table.write)


def load_experiment(store: ArtifactStore, data: StudyData) -> Experiment:
    """Read a study's table.

    Raises:
        ArtifactError: it is missing, damaged or out of reach.
        DataError: it holds other data than the study was made for.
    """
    if not data.copy:
        return _from_source(data)
    path = table_path(data.fingerprint)
    if (file := store.local_path(path)) is None:
        return _cached(data, partial(store.fetch, path))
    try:
        return _read(data, file)
    except OSError as error:
        what = f"artifact {path} cannot be read from {store.safe_url}"
        raise ArtifactError(f"{what}: {error.strerror or error}") from None


def _from_source(data: StudyData) -> Experiment:
    if not is_remote(data.source):
        return Experiment(_at_source(data), data)
    return _cached(data, lambda file: _at_source(data).write(file))


def _at_source(data: StudyData) -> Table:
    """The table at its source; one that is not there now may be there later, as with a store."""
    try:
        return read_recorded(data, Path())
    except DataError as error:
        raise ArtifactError(str(error)) from None


def _cached(data: StudyData, fetch: Callable[[Path], object]) -> Experiment:
    name = f"{data.fingerprint}.parquet"
    return cached("tables", name, fetch, partial(_read, data))


def _read(data: StudyData, path: Path) -> Experiment:
    try:
        table = Table.read(path)
    except DataError as error:  # not what we wrote
        raise ArtifactError(str(error)) from None
    return Experiment(table, data)
