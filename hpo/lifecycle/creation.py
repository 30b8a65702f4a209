"""From a definition to a study: its table read, checked and stored where every worker finds it."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from hpo.config.definition import Budget, StudyDefinition, load_definition
from hpo.config.parsing import validate
from hpo.config.urls import hide_passwords
from hpo.data.dataset import load_dataset
from hpo.data.format_1 import table_of_format_1
from hpo.data.sources import absolute_source, read_raw
from hpo.data.table import Table, typed_table
from hpo.files.store import ArtifactStore
from hpo.lifecycle.housekeeping import sign
from hpo.models.experiment import keep_table
from hpo.storage.engine import open_storage
from hpo.study.catalog import create_study, stored_format
from hpo.study.study import Study


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
    raw = read_raw(definition.data.source, path.parent, separator=definition.data.separator)
    table = typed_table(raw, definition.data)
    source = hide_passwords(absolute_source(definition.data.source, path.parent))
    definition = replace(definition, data=replace(definition.data, source=source))
    then = partial(table_of_format_1, raw)
    return create(definition, table, storage, artifacts, where=str(path), then=then)


def create(
    definition: StudyDefinition,
    table: Table,
    storage: str,
    artifacts: str,
    *,
    where: str,
    then: Callable[[], Table] | None = None,
) -> tuple[Study, ArtifactStore]:
    """Create the study of a definition and its table, or reopen it; see `create_from_file`.

    Args:
        definition: its source is what the study will say of the table's origin.
        table: the typed table.
        storage: URL of where the study is kept.
        artifacts: URL of where its table and its weights are kept.
        where: the definition's name, for messages.
        then: gives the table as it was typed for studies of the first format, which it reopens.
    """
    complete, notes = _complete(definition, table, where)
    opened = open_storage(storage)
    with ExitStack() as undo:
        undo.callback(opened.close)
        store = ArtifactStore(artifacts)
        if then is not None and stored_format(opened, definition.name) == 1:
            table = then()
            complete, notes = _complete(definition, table, where)
        keep_table(store, table, complete.data)
        study = create_study(opened, complete, store.id, notes)
        sign(store, study)
        keep_table(store, table, complete.data)  # it was unused, and may have gone just before
        undo.pop_all()
    return study, store


def _complete(
    definition: StudyDefinition, table: Table, where: str
) -> tuple[StudyDefinition, tuple[str, ...]]:
    """The definition with what its table tells, and the notes on that."""
    data = definition.data
    dataset = load_dataset(table, data)
    schema = dataset.schema
    dataset.check_metric(definition.objective.metric, where)
    complete = definition.resolved(
        source=data.source,
        task=schema.task,
        positive=data.positive if table.format == 1 else schema.positive,
        fingerprint=table.fingerprint(),
        where=where,
    )
    return complete, schema.notes


def _with_budget(
    definition: StudyDefinition, n_trials: int | None, timeout: float | None
) -> StudyDefinition:
    changes = {"n_trials": n_trials, "timeout": timeout}
    given = {key: value for key, value in changes.items() if value is not None}
    budget = {**definition.budget.model_dump(exclude_none=True), **given}
    return replace(definition, budget=validate(Budget, budget, "budget"))
