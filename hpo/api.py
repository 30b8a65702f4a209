"""The front door for Python: `hpo.run`, `hpo.load_study`, `hpo.load_model`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars

from hpo.config.errors import HpoError, InputError
from hpo.config.parsing import parse_duration
from hpo.files.store import ArtifactStore
from hpo.launch.local import local_slots, slots_argument
from hpo.launch.search import search_locally
from hpo.lifecycle.confirming import conclude, prepare
from hpo.lifecycle.creation import create_from_file
from hpo.models.loading import load_model
from hpo.models.model import Model
from hpo.results.export import export
from hpo.results.leaderboard_table import to_table
from hpo.results.stored import stored_model
from hpo.storage.engine import open_storage
from hpo.study.catalog import open_study
from hpo.study.confirmation import Confirmation
from hpo.study.leaderboard import leaderboard, why_empty
from hpo.study.status import StudyStatus
from hpo.study.study import Study

__all__ = ["StudyResults", "load_model", "load_study", "run"]


@dataclass(frozen=True, kw_only=True)
class StudyResults:
    """A study, opened to look at and to take models from."""

    study: Study
    store: ArtifactStore

    @property
    def status(self) -> StudyStatus:
        """Budget, trials by state, best value and workers, as they are now."""
        return self.study.progress()

    def leaderboard(self) -> polars.DataFrame:
        """The COMPLETE trials, best first, with a column a metric and a param."""
        return to_table(leaderboard(self.study))

    def best_model(self) -> Model:
        """The model of the leaderboard's first trial.

        Raises:
            HpoError: no trial is COMPLETE yet.
        """
        if not (rows := leaderboard(self.study)):
            raise HpoError(why_empty(self.study))
        return stored_model(self.store, rows[0])

    def export(
        self,
        out: str | Path,
        *,
        top: int = 1,
        trials: Sequence[int] = (),
        ensemble: int | None = None,
        torch_program: bool = False,
    ) -> list[Path]:
        """Write the folders of the best trials, or of those named; return them.

        Args:
            out: the folder to write into.
            top: how many of the best.
            trials: numbers of trials to export instead.
            ensemble: make one of so many members too; its folder is the last.
            torch_program: whether each folder gets a `model.pt2` of `torch.export`.

        Raises:
            InputError: there is no such COMPLETE trial, or `out` cannot be written.
            ExportError: a file would not predict as the model does.
        """
        return export(
            self.study,
            self.store,
            Path(out),
            top=top,
            numbers=trials,
            ensemble=ensemble,
            torch_program=torch_program,
        )

    def confirm(
        self,
        *,
        top: int = 5,
        seeds: int = 5,
        workers: int | str = "auto",
        gpus: str = "auto",
        per_gpu: int = 1,
        slots: int | str = 1,
    ) -> Confirmation:
        """Train the leading configurations and the default again over seeds, as `hpo confirm`.

        Leaderboard and export prefer the winner from then on.

        Args:
            top: leading configurations, besides the default.
            seeds: with which each is trained.
            workers: as for `run`, like the others.
            gpus: likewise.
            per_gpu: likewise.
            slots: likewise.

        Raises:
            InputError: an argument is wrong.
            HpoError: there is nothing to confirm yet, or the workers failed.
        """
        arguments = slots_argument(str(slots))
        places = local_slots(gpus=gpus, per_gpu=per_gpu, workers=str(workers))
        again = prepare(self.study, self.store, top=top, seeds=seeds)
        search_locally(again, self.store, places, arguments)
        return conclude(self.study, again)


def run(
    study_file: str | Path,
    *,
    n_trials: int | None = None,
    timeout: str | float | None = None,
    workers: int | str = "auto",
    gpus: str = "auto",
    per_gpu: int = 1,
    slots: int | str = 1,
    storage: str = "sqlite:///hpo.db",
    artifacts: str = "hpo-artifacts",
) -> StudyResults:
    """Create the study of a file, or reopen it, and search until its budget is used up.

    Args:
        study_file: a TOML study file.
        n_trials: overrides the file's budget.
        timeout: likewise: seconds, or such as "30m".
        workers: worker processes; "auto" is one a GPU slot, or one a core.
        gpus: "auto", "none", or positions such as "0,1".
        per_gpu: workers that share each GPU.
        slots: trials that each worker trains at once, as one program; "auto" measures and chooses.
            With 1, a trial can be repeated to the bit.
        storage: where the study is kept.
        artifacts: where its table and weights are kept.

    Raises:
        InputError: the file, its table or an argument is wrong.
        HpoError: the workers failed; their log says why.
    """
    arguments = slots_argument(str(slots))
    places = local_slots(gpus=gpus, per_gpu=per_gpu, workers=str(workers))
    study, store = create_from_file(
        Path(study_file), storage, artifacts, n_trials=n_trials, timeout=_seconds(timeout)
    )
    search_locally(study, store, places, arguments)
    return StudyResults(study=study, store=store)


def load_study(
    name: str, *, storage: str = "sqlite:///hpo.db", artifacts: str = "hpo-artifacts"
) -> StudyResults:
    """Open a study that exists.

    Raises:
        StorageError: there is no such storage.
        StudyNotFoundError: it holds no study of that name.
    """
    study = open_study(open_storage(storage, create=False), name)
    return StudyResults(study=study, store=ArtifactStore(artifacts, create=False))


def _seconds(timeout: str | float | None) -> float | None:
    try:
        return None if timeout is None else parse_duration(timeout)
    except ValueError as error:
        raise InputError(f"timeout {error}") from None
