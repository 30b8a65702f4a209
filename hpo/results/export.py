"""Export: the winners of a study as folders that stand alone.

Test metrics are computed here and nowhere else, once a trial or ensemble: they are kept beside the
trial's weights and read from there the next time.
"""

from collections.abc import Sequence
from pathlib import Path

from hpo.config.errors import HpoError, InputError
from hpo.files.store import ArtifactStore
from hpo.models.experiment import Experiment, load_experiment
from hpo.models.folder import write_model
from hpo.models.proof import N_HELD
from hpo.results.ensemble import choose_ensemble
from hpo.results.leaderboard_table import to_table
from hpo.results.stored import ensemble_test_metrics, stored_model, test_metrics
from hpo.study.leaderboard import Row, distinct, find_row, leaderboard, why_empty
from hpo.study.study import Study


def export(
    study: Study,
    store: ArtifactStore,
    out: Path,
    *,
    top: int = 1,
    numbers: Sequence[int] = (),
    ensemble: int | None = None,
    torch_program: bool = False,
) -> list[Path]:
    """Write the leaderboard and the folders of the best trials, or of those named.

    Args:
        study: where the trials are.
        store: where their weights are.
        out: the folder to write into; made when missing, folders of the same trials replaced.
        top: how many configurations, the best trial of each.
        numbers: trials to export instead.
        ensemble: make one of so many members too, chosen from the best of each configuration.
        torch_program: whether each folder gets a `model.pt2`.

    Returns:
        The trials' folders, best first or as named, and the ensemble's.

    Raises:
        InputError: there is no such COMPLETE trial, `out` cannot be written, or `store` is not the
            study's.
        ArtifactError: weights are missing or damaged.
        ExportError: a file would not predict as the model does.
    """
    if ensemble is not None and ensemble < 1:
        raise InputError(f"ensemble must be at least 1, but got {ensemble}")
    study.check_store(store.id)
    if not (ranked := leaderboard(study)):
        raise HpoError(why_empty(study))
    best = distinct(ranked, study.definition.space)
    rows = [_complete(study, number) for number in numbers] or best[:top]
    experiment = load_experiment(store, study.definition.data)
    writer = _Writer(study, store, experiment, torch_program=torch_program)
    try:
        out.mkdir(parents=True, exist_ok=True)
        folders = [writer.write_trial(row, out) for row in rows]
        if ensemble is not None:
            folders.append(writer.write_ensemble(best, ensemble, out))
        to_table(ranked).write_csv(out / "leaderboard.csv")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None
    return folders


class _Writer:
    """Writes folders of one study."""

    def __init__(
        self, study: Study, store: ArtifactStore, experiment: Experiment, *, torch_program: bool
    ) -> None:
        self._study = study
        self._store = store
        self._experiment = experiment
        self._torch_program = torch_program

    def write_trial(self, row: Row, out: Path) -> Path:
        study = self._study
        model = stored_model(self._store, row)
        write_model(
            folder := out / f"trial-{row.number:05d}",
            model,
            {
                "validation": model.metrics,
                "test": test_metrics(study, self._store, self._experiment, row, model),
            },
            f"{study.name}, trial {row.number}",
            _note(study, row),
            held=self._experiment.held_rows(N_HELD),
            torch_program=self._torch_program,
        )
        return folder

    def write_ensemble(self, candidates: list[Row], size: int, out: Path) -> Path:
        study, store, experiment = self._study, self._store, self._experiment
        made = choose_ensemble(study, store, experiment, candidates, size)
        by_number = {row.number: row for row in candidates}
        rows = [by_number[member.number] for member in made.members]
        best = made.members[0].model
        write_model(
            folder := out / "ensemble",
            made,
            {
                "validation": made.metrics,
                "test": ensemble_test_metrics(study, store, experiment, rows, made),
            },
            f"{study.name}, ensemble",
            f"Of {len(candidates)} COMPLETE trials of study {study.name} ({study.uuid}).",
            held=experiment.held_rows(N_HELD),
            alone={
                "validation": experiment.validation_metrics(best),
                "test": test_metrics(study, store, experiment, rows[0], best),
            },
            torch_program=self._torch_program,
        )
        return folder


def _complete(study: Study, number: int) -> Row:
    row = find_row(study, number)
    if row.state != "COMPLETE":
        raise InputError(
            f"trial {number} of study {study.name} is {row.state}: "
            "only COMPLETE trials have weights"
        )
    return row


def _note(study: Study, row: Row) -> str:
    """Where a model comes from, and what its configuration gives with other seeds."""
    note = f"Trial {row.number} of study {study.name} ({study.uuid})."
    if row.early:
        note += f" {row.early[0].upper()}{row.early[1:]}."
    if row.confirmed is None:
        return note
    return (
        f"{note} Trained again with {row.confirmed.n_seeds} other seeds, its configuration has a "
        f"validation {study.definition.metric_label} of {row.confirmed.text()} (95 % interval)."
    )
