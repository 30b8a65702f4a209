"""The storage that optuna-dashboard reads: Optuna's, with a note on each study and trials' files.

Notes and files are generated when they are read. They are never stored, so they are up to date and
do not conflict with workers. A user's own note replaces the generated note until it is emptied.
"""

import functools
import json
from collections.abc import Callable, ItemsView, Mapping
from typing import Any

from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from hpo.config.errors import DamagedStudyError
from hpo.dashboard.files import File, file_content, list_files
from hpo.dashboard.notes import study_note
from hpo.files.store import ArtifactStore
from hpo.storage.attributes import METRICS, read_studies
from hpo.storage.cached_storage import CachedStorage, sound
from hpo.storage.engine import Storage
from hpo.storage.schema import NOT_FOUND
from hpo.study.damage import reporting_damage
from hpo.study.row import StudyRow
from hpo.study.study import Study

# System attributes that optuna-dashboard reads.
_NOTE_VERSION, _NOTE_PARTS = "dashboard:note_ver", "dashboard:note_str:"
_FILES = "artifacts:"
_METRIC_NAMES = "study:metric_names"


class DashboardStorage(CachedStorage):
    """Storage for optuna-dashboard; writes go to the wrapped storage unchanged."""

    def __init__(self, storage: Storage, store: ArtifactStore | None) -> None:
        """Wrap a storage; trials whose weights are in the artifact store offer them."""
        super().__init__(storage.plain)
        self.storage = storage
        self.store = store
        self._rows: dict[int, StudyRow] = {}
        self._damage: dict[int, str] = {}

    def row(self, study_id: int) -> StudyRow:
        """Return a study's current row.

        Raises:
            KeyError: the study does not exist.
        """
        with self.storage.read() as connection:
            found = read_studies(connection, study_ids=[study_id])
        if not found:
            raise KeyError(NOT_FOUND)
        return StudyRow.parse(*found[0][:2], self.storage.safe_url, found[0][2])

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies, with their notes."""
        with self.storage.errors():
            return super().get_all_studies()

    def decorate_study(self, study_id: int, name: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """Add a study's note to its system attributes."""
        return self._with_note(StudyRow.parse(study_id, name, self.storage.safe_url, attrs))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return a study's system attributes, with its note."""
        return self._with_note(self.row(study_id))

    def trials_by_id(self, study_id: int) -> dict[int, FrozenTrial]:
        """Return a study's trials by id, with their files."""
        self._rows[study_id] = self.row(study_id)
        try:
            with reporting_damage(self.storage, study_id), self.storage.errors():
                found = super().trials_by_id(study_id)
        except DamagedStudyError as error:  # the note says so
            self._damage[study_id] = str(error)
            return {}
        self._damage.pop(study_id, None)
        return found

    def decorate(self, study_id: int, trial: FrozenTrial) -> FrozenTrial:
        """Add a trial's files to its system attributes, and each metric to its user attributes."""
        for file in self._files(self._rows[study_id], trial):
            trial.system_attrs[_FILES + file.id] = json.dumps(file.to_json())
        if isinstance(metrics := trial.user_attrs.get(METRICS), dict):
            del trial.user_attrs[METRICS]
            trial.user_attrs.update({f"metrics.{name}": value for name, value in metrics.items()})
        return trial

    def read_file(self, study_id: int, trial_id: int, file_id: str) -> tuple[File, bytes] | None:
        """Return a file of a trial and its content; None if it does not exist.

        Raises:
            HpoError: the content cannot be read.
        """
        try:
            row, trial = self.row(study_id), self.trials_by_id(study_id)[trial_id]
        except KeyError:
            return None
        for file in self._files(row, trial):
            if file.id == file_id:
                study = Study(self.storage, row)
                return file, file_content(study, trial, file.kind, self.store)
        return None

    def _files(self, row: StudyRow, trial: FrozenTrial) -> list[File]:
        """List a trial's files; empty if this version of hpo cannot open the study."""
        if row.obstacle is not None:
            return []
        has_weights = self.store is not None and self.store.id == row.artifact_store_id
        return list_files(trial, has_weights=has_weights)

    def _with_note(self, row: StudyRow) -> dict[str, Any]:
        attrs = sound(row.attrs)
        if row.obstacle is None:
            attrs[_METRIC_NAMES] = [row.metric]

        def note() -> str:
            own = attrs.get(f"{_NOTE_PARTS}0")  # a note that was emptied is stored as ""
            if (damage := self._damage.get(row.id)) is not None:
                return f"{damage}\n\n{own or ''}"
            return own or (study_note(self.storage, row) if row.is_ours else "")

        return _AttrsWithNote(attrs, note)


class _AttrsWithNote(dict[str, Any]):
    """System attributes whose note is generated when all items are first read.

    A page with a list of studies reads single items only, and generates no notes. The page of a
    study reads all items several times.
    """

    def __init__(self, attrs: Mapping[str, Any], generate: Callable[[], str]) -> None:
        super().__init__(attrs)
        self._generate = functools.cache(generate)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return all items, with the note."""
        if note := self._generate():
            self.setdefault(_NOTE_VERSION, 0)
            self[f"{_NOTE_PARTS}0"] = note
        return super().items()
