"""From a definition to a study: its table read, checked and stored where every worker finds it.

Does not know: workers, devices.
"""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import polars

from hpo.artifacts import ArtifactStore
from hpo.catalog import create_study
from hpo.data.dataset import load_dataset
from hpo.data.schema import resolve_task
from hpo.data.sources import absolute_source, fingerprint, read_table
from hpo.definition import Budget, StudyDefinition, load_definition
from hpo.housekeeping import sign
from hpo.parsing import validate
from hpo.storage.engine import open_storage
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
    frame = read_table(definition.data.source, path.parent)
    source = shown(absolute_source(definition.data.source, path.parent))
    definition = replace(definition, data=replace(definition.data, source=source))
    return create(definition, frame, storage, artifacts, where=str(path))


def create(
    definition: StudyDefinition,
    frame: polars.DataFrame,
    storage: str,
    artifacts: str,
    *,
    where: str,
) -> tuple[Study, ArtifactStore]:
    """Create the study of a definition and its table, or reopen it; see `create_from_file`.

    Args:
        definition: its source is what the study will say of the table's origin.
        frame: the typed table.
        storage: URL of where the study is kept.
        artifacts: URL of where its table and its weights are kept.
        where: the definition's name, for messages.
    """
    definition = definition.resolved(
        source=definition.data.source,
        task=resolve_task(frame, definition.data),
        fingerprint=fingerprint(frame),
        where=where,
    )
    load_dataset(frame, definition.data)
    opened = open_storage(storage)
    with ExitStack() as undo:
        undo.callback(opened.close)
        store = ArtifactStore(artifacts)
        keep_table(store, frame, definition.data)
        study = create_study(opened, definition, store.id)
        sign(store, study)
        keep_table(store, frame, definition.data)  # it was unused, and may have gone just before
        undo.pop_all()
    return study, store


def _with_budget(
    definition: StudyDefinition, n_trials: int | None, timeout: float | None
) -> StudyDefinition:
    changes = {"n_trials": n_trials, "timeout": timeout}
    given = {key: value for key, value in changes.items() if value is not None}
    budget = {**definition.budget.model_dump(exclude_none=True), **given}
    return replace(definition, budget=validate(Budget, budget, "budget"))
