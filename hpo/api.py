"""The Python API: `hpo.run`, `hpo.load_study`, `hpo.load_model`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars

from hpo.config.errors import HpoError, InputError
from hpo.config.parsing import parse_duration
from hpo.config.trial import ENSEMBLE_SIZE
from hpo.files.store import ArtifactStore
from hpo.launch.local import local_slots, slots_argument
from hpo.launch.refit import refit
from hpo.launch.search import search_locally
from hpo.lifecycle.confirming import conclude, prepare
from hpo.lifecycle.creation import create_from_file
from hpo.models.ensemble import Ensemble, TrialModel
from hpo.models.experiment import load_experiment
from hpo.models.loading import load_model
from hpo.results.ensemble import compare
from hpo.results.export import export
from hpo.results.leaderboard_table import to_table
from hpo.results.stored import stored_model
from hpo.storage.engine import open_storage
from hpo.study.artifacts import StudyArtifacts
from hpo.study.catalog import open_study
from hpo.study.confirmation import Confirmation
from hpo.study.leaderboard import leaderboard, why_empty
from hpo.study.status import StudyStatus
from hpo.worker.supervisor import to_stderr

__all__ = ["StudyResults", "load_model", "load_study", "run"]


@dataclass(frozen=True, kw_only=True)
class StudyResults(StudyArtifacts):
    """A study's status, leaderboard and models."""

    @property
    def status(self) -> StudyStatus:
        """The current budget, trials by state, best value and workers."""
        return self.study.progress()

    def leaderboard(self) -> polars.DataFrame:
        """Return the COMPLETE trials, best first, with one column for each metric and param."""
        return to_table(leaderboard(self.study))

    def best_model(self) -> TrialModel:
        """Load the model of the leaderboard's first trial.

        Raises:
            HpoError: no trial is COMPLETE yet.
        """
        if not (rows := leaderboard(self.study)):
            raise HpoError(why_empty(self.study))
        return stored_model(self.store, rows[0])

    def ensemble(self, size: int = ENSEMBLE_SIZE) -> Ensemble:
        """Select an ensemble on the validation part, as `hpo run` does.

        Args:
            size: maximum number of members.

        Raises:
            InputError: `size` is less than 1, or the trials were trained with different table
                schemas.
            HpoError: no trial is COMPLETE yet.
        """
        if size < 1:
            raise InputError(f"size must be at least 1, but got {size}")
        experiment = load_experiment(self.store, self.study.definition.data)
        return compare(self, experiment, size).ensemble

    def export(
        self,
        out: str | Path,
        *,
        top: int = 1,
        trials: Sequence[int] = (),
        ensemble: int = 0,
        torch_program: bool = False,
    ) -> list[Path]:
        """Export trials as self-contained folders, and return the folders.

        Args:
            out: the folder to write into.
            top: number of trials to export, best first.
            trials: numbers of the trials to export instead.
            ensemble: also export an ensemble of at most this many members, as the last folder; 0
                makes none.
            torch_program: also write a `model.pt2` of `torch.export` into each folder.

        Raises:
            InputError: a trial does not exist or is not COMPLETE, `out` cannot be written, or the
                ensemble's trials were trained with different table schemas.
            ExportError: an exported file does not predict as the trained model does.
        """
        return export(
            self,
            Path(out),
            top=top,
            numbers=trials,
            ensemble=ensemble,
            torch_program=torch_program,
        ).folders

    def refit(
        self,
        out: str | Path,
        *,
        trial: int | None = None,
        ensemble: int | None = None,
        device: str = "auto",
    ) -> Path:
        """Train the best trial on its training and validation rows together, as `hpo refit` does.

        Args:
            out: the folder to write into.
            trial: number of the trial to refit instead.
            ensemble: refit the members of an ensemble of at most this many instead.
            device: "auto" (a GPU if there is one), "cpu", "cuda", or an index such as "cuda:1".

        Returns:
            The model's folder.

        Raises:
            InputError: an argument is invalid, no trial is COMPLETE or the given one is not, the
                training diverged, or `out` cannot be written.
            HpoError: the training failed.
        """
        return refit(self, Path(out), trial=trial, ensemble=ensemble, device=device, log=to_stderr)

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
        """Train the leading configurations and the default again over seeds, as `hpo confirm` does.

        The leaderboard and exports then prefer the winner.

        Args:
            top: number of leading configurations, besides the default.
            seeds: number of trainings of each configuration.
            workers: as in `run`.
            gpus: as in `run`.
            per_gpu: as in `run`.
            slots: as in `run`.

        Raises:
            InputError: an argument is invalid.
            HpoError: there is nothing to confirm yet, or the workers failed.
        """
        arguments = slots_argument(str(slots))
        places = local_slots(gpus=gpus, per_gpu=per_gpu, workers=str(workers))
        again = prepare(self, top=top, seeds=seeds)
        search_locally(again, places, arguments)
        return conclude(self.study, again.study)


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
    """Create the study of a study file, or reopen it, and search until its budget is used up.

    Args:
        study_file: path of the TOML study file.
        n_trials: overrides `budget.n_trials` of the file.
        timeout: overrides `budget.timeout` of the file: seconds, or a text such as "30m".
        workers: number of worker processes; "auto" starts one for each GPU slot, or without a GPU
            one for each core.
        gpus: "auto", "none", or indices such as "0,1".
        per_gpu: number of workers that share each GPU.
        slots: number of trials that each worker trains at once, as one program; "auto" measures
            and chooses. With 1, trials are reproducible to the bit.
        storage: URL of the storage.
        artifacts: URL of the artifact store, for the table and the weights.

    Raises:
        InputError: the file, its table or an argument is invalid.
        HpoError: the workers failed; their log gives the reason.
    """
    arguments = slots_argument(str(slots))
    places = local_slots(gpus=gpus, per_gpu=per_gpu, workers=str(workers))
    created = create_from_file(
        Path(study_file), storage, artifacts, n_trials=n_trials, timeout=_seconds(timeout)
    )
    results = StudyResults(study=created.study, store=created.store)
    del created  # its table is not needed: the workers are other processes
    search_locally(results, places, arguments)
    return results


def load_study(
    name: str, *, storage: str = "sqlite:///hpo.db", artifacts: str = "hpo-artifacts"
) -> StudyResults:
    """Open an existing study.

    Args:
        name: the study's name.
        storage: URL of its storage.
        artifacts: URL of its artifact store.

    Raises:
        StorageError: the storage does not exist.
        StudyNotFoundError: the storage has no study of this name.
        InputError: the study was created with another artifact store.
    """
    study = open_study(open_storage(storage, create=False), name)
    return StudyResults(study=study, store=ArtifactStore(artifacts, create=False))


def _seconds(timeout: str | float | None) -> float | None:
    try:
        return None if timeout is None else parse_duration(timeout)
    except ValueError as error:
        raise InputError(f"timeout {error}") from None
