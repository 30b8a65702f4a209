"""The tables of the studies that a worker works for, each read once."""

from collections.abc import Iterable, Mapping

from hpo.files.store import ArtifactStore
from hpo.models.experiment import Experiment, load_experiment
from hpo.study.study import Study


class Tables:
    """Tables, and what was made of them, by study."""

    def __init__(
        self, store: ArtifactStore, experiments: Mapping[str, Experiment] | None = None
    ) -> None:
        """Read from `store` what is not among the experiments already, by the study's UUID."""
        self._store = store
        self._experiments = dict(experiments or {})

    def __contains__(self, study: Study) -> bool:
        """Whether a study's table was read already."""
        return study.uuid in self._experiments

    def __getitem__(self, study: Study) -> Experiment:
        """A study's table.

        Raises:
            ArtifactError: the store, or where else it is kept, is out of reach.
            DataError: it holds other data than the study was made for.
        """
        if study not in self:
            self._experiments[study.uuid] = load_experiment(self._store, study.definition.data)
        return self._experiments[study.uuid]

    def retain(self, studies: Iterable[Study]) -> None:
        """Forget the tables of all other studies."""
        uuids = {study.uuid for study in studies}
        self._experiments = {k: v for k, v in self._experiments.items() if k in uuids}
