"""The storage as the dashboard shows it: with a note on each study, and files of each trial.

Both are made when they are read and written nowhere: they are as fresh as the page, and race with
no worker. A note that a person wrote is shown in place of ours; who empties it gets ours back.
"""

import json
from collections.abc import Callable, ItemsView, Mapping
from typing import Any

from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from hpo.dashboard.files import File, files_of
from hpo.dashboard.notes import note
from hpo.files.store import ArtifactStore
from hpo.storage.cached_storage import CachedStorage
from hpo.storage.engine import Storage
from hpo.study.row import StudyRow

NOTE_VERSION, NOTE_PARTS = "dashboard:note_ver", "dashboard:note_str:"
FILES = "artifacts:"
METRICS = "study:metric_names"
"""System attributes by which optuna-dashboard keeps a study's note, finds a trial's files and names
the axes.
"""


class DashboardStorage(CachedStorage):
    """What optuna-dashboard reads; what it writes goes to the storage as it is."""

    def __init__(self, storage: Storage, store: ArtifactStore | None) -> None:
        """Look at a storage; trials whose weights are in the store offer them."""
        super().__init__(storage.plain)
        self.storage = storage
        self.store = store
        self._rows: dict[int, StudyRow] = {}

    def row(self, study_id: int) -> StudyRow:
        """A study's row, as it is now.

        Raises:
            KeyError: there is no such study; it says what Optuna's storage does.
        """
        with self.storage.errors():
            attrs = self._backend.get_study_system_attrs(study_id)
            name = self._backend.get_study_name_from_id(study_id)
        return StudyRow.parse(study_id, name, self.storage.safe_url, attrs)

    def get_all_studies(self) -> list[FrozenStudy]:
        """Every study, with its note."""
        with self.storage.errors():
            studies = self._backend.get_all_studies()
        for study in studies:
            about = study._study_id, study.study_name, self.storage.safe_url, study.system_attrs
            study.system_attrs = self._noted(StudyRow.parse(*about))
        return studies

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Those of a study, its note among them."""
        return self._noted(self.row(study_id))

    def trials_by_id(self, study_id: int) -> dict[int, FrozenTrial]:
        """The study's trials by their ids, with their files."""
        self._rows[study_id] = self.row(study_id)
        with self.storage.errors():
            return super().trials_by_id(study_id)

    def decorate(self, study_id: int, trial: FrozenTrial) -> FrozenTrial:
        """A trial with its files among its system attributes, and each metric by itself."""
        for file in self.files(self._rows[study_id], trial):
            trial.system_attrs[FILES + file.id] = json.dumps(file.to_json())
        if isinstance(metrics := trial.user_attrs.get("metrics"), dict):
            del trial.user_attrs["metrics"]
            trial.user_attrs.update({f"metrics.{name}": value for name, value in metrics.items()})
        return trial

    def files(self, row: StudyRow, trial: FrozenTrial) -> list[File]:
        """The files of a trial of a study; none where this hpo cannot open it."""
        if row.obstacle is not None:
            return []
        return files_of(
            trial, has_weights=self.store is not None and self.store.id == row.artifact_store_id
        )

    def _noted(self, row: StudyRow) -> dict[str, Any]:
        if row.uuid is None:  # another program's
            return dict(row.attrs)
        attrs = dict(row.attrs)
        if row.obstacle is None:
            attrs[METRICS] = [row.metric]
        return _Noted(attrs, lambda: note(self.storage, row))


class _Noted(dict[str, Any]):
    """System attributes whose note is written when somebody looks through all of them.

    Lists of studies ask for single ones, and then no note is written.
    """

    def __init__(self, attrs: Mapping[str, Any], write: Callable[[], str]) -> None:
        super().__init__(attrs)
        is_persons = any(text for key, text in attrs.items() if key.startswith(NOTE_PARTS))
        self._write = None if is_persons else write
        if not is_persons:
            self.setdefault(NOTE_VERSION, 0)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """All of them, with the note."""
        if self._write is not None:
            write, self._write = self._write, None
            self[f"{NOTE_PARTS}0"] = write()
        return super().items()
