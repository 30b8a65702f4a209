"""From a definition to a study: its table read, checked and stored where every worker finds it.

Does not know: workers, devices.
"""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from hpo.artifacts import ArtifactStore
from hpo.catalog import create_study
from hpo.data.dataset import load_dataset
from hpo.data.sources import absolute_source
from hpo.data.table import Table, read_table
from hpo.definition import Budget, StudyDefinition, load_definition
from hpo.errors import StudyConflictError
from hpo.housekeeping import sign
from hpo.parsing import validate
from hpo.storage.engine import Storage, open_storage
from hpo.study import Study
from hpo.tables import keep_table
from hpo.urls import shown


def create_from_file(
    path: Path,
    storage: str,
    artifacts: str,
    *,
    n_trials: int | None = None,
    timeout: float | None = None,
) -> tuple[Study, ArtifactStore]:
    """Create the study that a file describes, or reopen it.

    File and table are checked before anything is made. Unless the file says `copy = false`, the
    typed table is copied into the artifact store, where the workers read it: what becomes of the
    source later does not touch the study. A password in the source's URL is written down nowhere.

    Args:
        path: the study file.
        storage: URL of where the study is kept.
        artifacts: URL of where its table and its weights are kept.
        n_trials: a budget that overrides the file's.
        timeout: likewise, in seconds.

    Raises:
        DefinitionError: the file is wrong.
        DataError: its table cannot be trained on.
        StudyConflictError: the name is taken by another definition.
    """
    definition = _with_budget(load_definition(path), n_trials, timeout)
    table = read_table(definition.data, path.parent)
    source = shown(absolute_source(definition.data.source, path.parent))
    definition = replace(definition, data=replace(definition.data, source=source))
    return create(definition, table, storage, artifacts, where=str(path))


def create(
    definition: StudyDefinition,
    table: Table,
    storage: str,
    artifacts: str,
    *,
    where: str,
) -> tuple[Study, ArtifactStore]:
    """Create the study of a definition and its table, or reopen it; see `create_from_file`.

    Args:
        definition: its source is what the study will say of the table's origin.
        table: the typed table.
        storage: URL of where the study is kept.
        artifacts: URL of where its table and its weights are kept.
        where: the definition's name, for messages.
    """
    dataset = load_dataset(table, definition.data)
    dataset.check_metric(definition.objective.metric, where)
    is_named = definition.data.positive is not None
    definition = definition.resolved(
        source=definition.data.source,
        task=dataset.schema.task,
        positive=dataset.schema.positive,
        fingerprint=table.fingerprint(),
        where=where,
    )
    opened = open_storage(storage)
    with ExitStack() as undo:
        undo.callback(opened.close)
        store = ArtifactStore(artifacts)
        keep_table(store, table, definition.data)
        study = _created(opened, definition, store, dataset.schema.notes, is_named=is_named)
        sign(store, study)
        keep_table(store, table, definition.data)  # it was unused, and may have gone just before
        undo.pop_all()
    return study, store


def _created(
    storage: Storage,
    definition: StudyDefinition,
    store: ArtifactStore,
    notes: Sequence[str],
    *,
    is_named: bool,
) -> Study:
    """The study, new or reopened.

    Studies of the first format name no positive class: one goes on where the file names none.
    """
    try:
        return create_study(storage, definition, store.id, notes)
    except StudyConflictError:
        if is_named or definition.data.positive is None:
            raise
        earlier = replace(definition, data=replace(definition.data, positive=None))
        with suppress(StudyConflictError):
            return create_study(storage, earlier, store.id, notes)
        raise


def _with_budget(
    definition: StudyDefinition, n_trials: int | None, timeout: float | None
) -> StudyDefinition:
    changes = {"n_trials": n_trials, "timeout": timeout}
    given = {key: value for key, value in changes.items() if value is not None}
    budget = {**definition.budget.model_dump(exclude_none=True), **given}
    return replace(definition, budget=validate(Budget, budget, "budget"))
