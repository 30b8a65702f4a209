"""Study creation: read, check and store a study's table, then create the study's row."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hpo.config.definition import Budget, StudyDefinition, load_definition
from hpo.config.parsing import validate
from hpo.config.urls import hide_passwords
from hpo.data.dataset import load_dataset
from hpo.data.format_1 import table_of_format_1
from hpo.data.notes import positive_note
from hpo.data.sources import absolute_source, read_raw
from hpo.data.table import Table, typed_table
from hpo.files.store import ArtifactStore
from hpo.lifecycle.housekeeping import write_owner
from hpo.models.experiment import Experiment, keep_table
from hpo.storage.engine import open_storage
from hpo.study.artifacts import StudyArtifacts
from hpo.study.catalog import create_study, study_rows
from hpo.study.history import COLD_START
from hpo.study.warm_start import choose_warm_start


@dataclass(frozen=True, kw_only=True)
class CreatedStudy(StudyArtifacts):
    """A study that was created or reopened.

    Attributes:
        experiment: the study's table and dataset, for a worker in this process.
    """

    experiment: Experiment


def create_from_file(
    path: Path,
    storage: str,
    artifacts: str,
    *,
    n_trials: int | None = None,
    timeout: float | None = None,
) -> CreatedStudy:
    """Create the study of a study file, or reopen it.

    The file and the table are checked before anything is written. Unless the file says
    `copy = false`, the typed table is copied into the artifact store, from which workers read it;
    later changes of the source do not affect the study. Passwords in the source's URL are not
    stored.

    Args:
        path: the study file.
        storage: URL of the storage.
        artifacts: URL of the artifact store.
        n_trials: overrides `budget.n_trials` of the file.
        timeout: overrides `budget.timeout` of the file, in seconds.

    Raises:
        DefinitionError: the file is invalid.
        DataError: the table cannot be used for training.
        StudyConflictError: a study of this name has another definition.
    """
    definition = _with_budget(load_definition(path), n_trials, timeout)
    raw = read_raw(definition.data.source, path.parent, separator=definition.data.separator)
    table = typed_table(raw, definition.data)
    source = hide_passwords(absolute_source(definition.data.source, path.parent))
    definition = replace(definition, data=replace(definition.data, source=source))
    legacy = partial(table_of_format_1, raw)
    return create(definition, table, storage, artifacts, where=str(path), legacy=legacy)


def create(
    definition: StudyDefinition,
    table: Table,
    storage: str,
    artifacts: str,
    *,
    where: str,
    legacy: Callable[[], Table] | None = None,
) -> CreatedStudy:
    """Create the study of a definition and a typed table, or reopen it; see `create_from_file`.

    What `sampler.warm_start` takes from other studies is chosen when the study is created.

    Args:
        definition: the definition; its `data.source` is stored as the table's origin.
        table: the typed table.
        storage: URL of the storage.
        artifacts: URL of the artifact store.
        where: name of the definition in messages.
        legacy: returns the table as format 1 typed it, to reopen a study of that format.
    """
    complete, experiment, notes = _complete(definition, table, where)
    with ExitStack() as undo:
        opened = open_storage(storage)
        undo.callback(opened.close)
        store = ArtifactStore(artifacts)
        stored = {row.name: row.format for row in study_rows(opened)}
        if legacy and stored.get(definition.name) == 1:
            table = legacy()
            complete, experiment, notes = _complete(definition, table, where)
        warm_start = COLD_START
        if definition.name not in stored:  # an existing study keeps the choice of its creation
            warm_start = choose_warm_start(opened, complete, where)
        keep_table(store, table, complete.data)
        study = create_study(opened, complete, store.id, notes, warm_start)
        write_owner(store, study)
        # Deleting another study may have removed the same table before this study's row existed.
        keep_table(store, table, complete.data)
        undo.pop_all()
    return CreatedStudy(study=study, store=store, experiment=experiment)


def _complete(
    definition: StudyDefinition, table: Table, where: str
) -> tuple[StudyDefinition, Experiment, tuple[str, ...]]:
    """Add to a definition what its table tells; return it with the experiment and the notes."""
    data = definition.data
    dataset = load_dataset(table, data)
    schema = dataset.schema
    complete = definition.resolved(
        source=data.source,
        task=schema.task,
        positive=data.positive if table.format == 1 else schema.positive,
        fingerprint=table.fingerprint(),
        where=where,
    )
    dataset.check_objective(definition.objective, where)
    dataset.check_targets(definition.loss_choices, where)
    # The stored definition names the positive class: models carry no note that it was a guess.
    guess = positive_note(table, data, schema)
    named = replace(schema, notes=tuple(note for note in schema.notes if note != guess))
    experiment = Experiment(table, complete.data, replace(dataset, schema=named))
    return complete, experiment, schema.notes


def _with_budget(
    definition: StudyDefinition, n_trials: int | None, timeout: float | None
) -> StudyDefinition:
    changes = {"n_trials": n_trials, "timeout": timeout}
    given = {key: value for key, value in changes.items() if value is not None}
    budget = {**definition.budget.model_dump(exclude_none=True), **given}
    return replace(definition, budget=validate(Budget, budget, "budget"))
