"""Export: the best trials of a study as self-contained folders.

Test metrics are first computed here or in a report. They are then kept beside the trial's weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpo.config.errors import HpoError, InputError
from hpo.files.durable import writing
from hpo.models.comparison import Comparison
from hpo.models.ensemble import Ensemble
from hpo.models.experiment import Experiment, load_experiment
from hpo.models.folder import write_model
from hpo.models.proof import N_HELD
from hpo.results.ensemble import compare
from hpo.results.leaderboard_table import to_table
from hpo.results.stored import stored_model, test_metrics
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row, complete_row, distinct, find_row, leaderboard, why_empty
from hpo.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote.

    Attributes:
        folders: the trials' folders, best first or in the order asked for, then the ensemble's.
        comparison: of the ensemble with the best trial; None without an ensemble.
    """

    folders: list[Path]
    comparison: Comparison | None


def export(
    artifacts: StudyArtifacts,
    out: Path,
    *,
    top: int = 1,
    numbers: Sequence[int] = (),
    ensemble: int = 0,
    torch_program: bool = False,
) -> Exported:
    """Write `leaderboard.csv` and a folder for each exported trial.

    Args:
        artifacts: of the study.
        out: the folder to write into. It is created if missing; folders of the same trials are
            replaced.
        top: number of configurations to export, each by its best trial.
        numbers: numbers of the trials to export instead.
        ensemble: also export an ensemble of at most this many members, chosen from the best trial
            of each configuration; 0 makes none.
        torch_program: also write a `model.pt2` into each folder.

    Raises:
        InputError: a trial does not exist or is not COMPLETE, `out` cannot be written, or the
            ensemble's trials were trained with different table schemas.
        ArtifactError: weights are missing or damaged.
        ExportError: an exported file does not predict as the trained model does.
    """
    if ensemble < 0:
        raise InputError(f"ensemble must be at least 0, but got {ensemble}")
    study = artifacts.study
    if not (ranked := leaderboard(study)):
        raise HpoError(why_empty(study))
    best = distinct(ranked, study.definition.space)
    rows = [complete_row(study, number) for number in numbers] or best[:top]
    writer = _Writer(
        study=study,
        store=artifacts.store,
        experiment=load_experiment(artifacts.store, study.definition.data),
        torch_program=torch_program,
    )
    with writing(str(out)):
        out.mkdir(parents=True, exist_ok=True)
        folders = [writer.write_trial(row, out) for row in rows]
        comparison = None
        if ensemble:
            comparison = compare(artifacts, writer.experiment, ensemble)
            folders.append(writer.write_ensemble(comparison.ensemble, out))
        to_table(ranked).write_csv(out / "leaderboard.csv")
    return Exported(folders=folders, comparison=comparison)


@dataclass(frozen=True, kw_only=True)
class _Writer(StudyArtifacts):
    """Writes the folders of one study's trials."""

    experiment: Experiment
    torch_program: bool

    def write_trial(self, row: Row, out: Path) -> Path:
        model = stored_model(self.store, row)
        write_model(
            folder := out / f"trial-{row.number:05d}",
            model,
            {
                "validation": model.metrics,
                "test": test_metrics(self, self.experiment, [row], model),
            },
            f"{self.study.name}, trial {row.number}",
            origin(self.study, row),
            held=self.experiment.held_rows(N_HELD),
            torch_program=self.torch_program,
        )
        return folder

    def write_ensemble(self, made: Ensemble, out: Path) -> Path:
        study, experiment = self.study, self.experiment
        rows = [find_row(study, member.number) for member in made.members]
        best = made.members[0].model
        write_model(
            folder := out / "ensemble",
            made,
            {
                "validation": made.metrics,
                "test": test_metrics(self, experiment, rows, made),
            },
            f"{study.name}, ensemble",
            f"Of {len(rows)} trials of study {study.name} ({study.uuid}).",
            held=experiment.held_rows(N_HELD),
            alone={
                "validation": experiment.validation_metrics(best),
                "test": test_metrics(self, experiment, rows[:1], best),
            },
            torch_program=self.torch_program,
        )
        return folder


def origin(study: Study, row: Row) -> str:
    """Where a model comes from, and its configuration's mean over seeds if it was confirmed."""
    note = f"Trial {row.number} of study {study.name} ({study.uuid})."
    if row.early:
        note += f" {row.early[0].upper()}{row.early[1:]}."
    if row.confirmed is None:
        return note
    return (
        f"{note} Trained again with {row.confirmed.n_seeds} other seeds, its configuration has a "
        f"validation {study.definition.metric_label} of {row.confirmed.text()} (95 % interval)."
    )
