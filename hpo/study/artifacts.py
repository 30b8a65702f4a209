"""A study together with the artifact store that holds its table, weights, checkpoints and logs."""

from dataclasses import dataclass

from hpo.files.store import ArtifactStore
from hpo.study.study import Study


@dataclass(frozen=True, kw_only=True)
class StudyArtifacts:
    """A study and its artifact store, checked once to belong together.

    Attributes:
        study: the study.
        store: the artifact store that the study was created with.

    Raises:
        InputError: the study was created with another artifact store.
    """

    study: Study
    store: ArtifactStore

    def __post_init__(self) -> None:
        """Check that the store is the study's."""
        self.study.check_store(self.store.id)
