"""Refits: winners of a study, trained on its training and validation rows together.

A search keeps the validation rows out of training, since it needs them to stop trials and to choose
among them. After the choice they are worth more as training rows. A refit has no validation rows,
so it trains for the epochs that the trial needed. More rows make more steps per epoch. The epochs
stay the same, not the steps, so that each row is seen as often as in the trial. The planned epochs
stay as well, so that a learning-rate schedule goes through the rates of the trial. A calibration is
that of the search's model, since a refit has no rows to fit one to.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

import torch

from hpo.config.errors import InputError
from hpo.config.trial import RefitConfig
from hpo.files.durable import writing
from hpo.launch.single import choose_device, fit, one_thread
from hpo.models.card import BEFORE_REFIT
from hpo.models.ensemble import Ensemble, TrialModel
from hpo.models.experiment import Experiment, load_experiment
from hpo.models.folder import Metrics, check_replaceable, write_model
from hpo.models.model import Predictor
from hpo.models.proof import N_HELD
from hpo.results.ensemble import choose_ensemble
from hpo.results.export import origin
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import (
    Row,
    best_epoch,
    complete_row,
    find_row,
    leaderboard,
    recorded_calibration,
    recorded_config,
    why_empty,
)
from hpo.study.study import Study


def refit(
    artifacts: StudyArtifacts,
    out: Path,
    *,
    trial: int | None = None,
    ensemble: int | None = None,
    device: str = "auto",
    log: Callable[[str], None],
) -> Path:
    """Refit the best trial of a study, or another one, or an ensemble, and write its folder.

    Args:
        artifacts: of the study.
        out: the folder to write into. It is created if missing; a folder of the same refit is
            replaced.
        trial: number of the trial to refit instead of the leaderboard's first.
        ensemble: refit the members of an ensemble instead, chosen by their validation metrics as
            `export` does; the largest number of members.
        device: a torch device, or `auto` for a GPU if there is one.
        log: called with a line for each epoch.

    Returns:
        The model's folder.

    Raises:
        InputError: an option is invalid, no trial is COMPLETE or the given one is not, the
            training diverged, or `out` cannot be written.
        DataError: the table's content has changed since the study was created.
        ArtifactError: the table, or weights of an ensemble, are missing or damaged.
        HpoError: the training failed.
        ExportError: an exported file does not predict as the trained model does.
    """
    if trial is not None and ensemble is not None:
        raise InputError("give a trial or an ensemble to refit, but not both")
    if ensemble is not None and ensemble < 1:
        raise InputError(f"ensemble must be at least 1, but got {ensemble}")
    study, chosen = artifacts.study, choose_device(device)
    ranked = leaderboard(study)
    if trial is None and not ranked:
        raise InputError(why_empty(study))
    row = ranked[0] if trial is None else complete_row(study, trial)
    folder = out / (f"trial-{row.number:05d}-refit" if ensemble is None else "ensemble-refit")
    check_replaceable(folder)
    searched = load_experiment(artifacts.store, study.definition.data)
    with writing(str(out)):  # before the training, not after it
        out.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=out).close()
    writer = _Writer(
        study=study, experiment=searched.for_refit(), device=chosen, log=log, folder=folder
    )
    with one_thread():  # for metrics that are those of `hpo train` to the bit
        if ensemble is None:
            writer.write_trial(row)
        else:
            before = choose_ensemble(artifacts, searched, ensemble)
            alone = searched.validation_metrics(before.members[0].model)
            writer.write_ensemble(before, alone)
    return folder


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Refits trials of a study and writes the folder of the result.

    Attributes:
        experiment: the study's table, for a refit.
    """

    study: Study
    experiment: Experiment
    device: torch.device
    log: Callable[[str], None]
    folder: Path

    def write_trial(self, row: Row) -> None:
        model = self._refit(row)
        title, note = f"trial {row.number}", origin(self.study, row)
        self._write(model, self._metrics(row.metrics, model), title, note)

    def write_ensemble(self, before: Ensemble, first: Mapping[str, float]) -> None:
        """Refit and write an ensemble.

        Args:
            before: the ensemble of the search's models.
            first: validation metrics of its first member alone.
        """
        members = tuple(
            replace(member, model=self._refit(find_row(self.study, member.number)))
            for member in before.members
        )
        made = Ensemble(
            schema=self.experiment.dataset.schema,
            metrics={},
            members=members,
            calibration=before.calibration,
        )
        note = f"Of {len(members)} trials of study {self.study.name} ({self.study.uuid})."
        alone = self._metrics(first, members[0].model)
        self._write(made, self._metrics(before.metrics, made), "ensemble", note, alone)

    def _refit(self, row: Row) -> TrialModel:
        return refit_trial(self.study, self.experiment, row, self.device, self.log)

    def _metrics(self, before: Mapping[str, float], model: Predictor) -> Metrics:
        return {BEFORE_REFIT: dict(before), "test": self.experiment.test_metrics(model)}

    def _write(
        self,
        model: Predictor,
        metrics: Metrics,
        title: str,
        note: str,
        alone: Metrics | None = None,
    ) -> None:
        write_model(
            self.folder,
            model,
            metrics,
            f"{self.study.name}, {title}, refitted",
            f"{note} Refitted on the training and validation rows together.",
            held=self.experiment.held_rows(N_HELD),
            alone=alone,
        )


def refit_trial(
    study: Study,
    experiment: Experiment,
    row: Row,
    device: torch.device,
    log: Callable[[str], None],
) -> TrialModel:
    """Train the configuration of a trial for its best number of epochs.

    Args:
        study: of the trial.
        experiment: the study's table, from `Experiment.for_refit`.
        row: the trial.
        device: to train on.
        log: called with a line for each epoch.

    Raises:
        InputError: another program than hpo has run the trial, or the training diverged.
        HpoError: the training failed.
    """
    n_epochs = best_epoch(study, row)
    calibration = recorded_calibration(study, row)
    refit = RefitConfig(n_epochs=n_epochs, calibration=calibration)
    config = replace(recorded_config(study, row), refit=refit)
    n_rows = len(experiment.dataset.rows("train"))
    log(f"trial {row.number}: {n_epochs} epochs of {n_rows:,} training and validation rows")
    try:
        with one_thread():
            return fit(config, experiment, device, log)
    except InputError as error:
        raise InputError(f"trial {row.number} of study {study.name}: {error}") from None
