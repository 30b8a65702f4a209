"""What a report says: gathered from a study's rows, its table and its weights.

All trials are read once, so that every part of the report is of the same moment.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from optuna.trial import FrozenTrial, TrialState

from hpo.config.trial import metric_label
from hpo.models.tables import load_experiment
from hpo.results.report.baselines import fit_baselines
from hpo.results.report.comparison import (
    ComparedModel,
    Leader,
    Models,
    OnTest,
    as_contender,
    leaders,
)
from hpo.results.report.effort import Occupancy, Saved, occupancy, saved_by_pruning
from hpo.results.report.param_figures import importances
from hpo.results.report.summary import TableSummary, summarise
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row, ranked
from hpo.study.leaderboard import row as as_row
from hpo.study.retraining import read_confirmed
from hpo.study.status import StudyStatus
from hpo.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Content:
    """All that is said of a study.

    Attributes:
        positive: the positive class of a binary task.
        trials: every one, by number.
        ranked: the COMPLETE ones, best first.
        leaders: the first of them.
        contenders: the winner, the default and the baselines; empty before there is a winner.
        importances: by param; None while there are too few COMPLETE trials, or they are level.
        reasons: why trials failed or diverged, and how many did, the most frequent first.
        written: when, in UTC.
    """

    study: Study
    status: StudyStatus
    table: TableSummary
    classes: tuple[str, ...]
    positive: str | None
    trials: Sequence[FrozenTrial]
    ranked: Sequence[Row]
    leaders: Sequence[Leader]
    contenders: Sequence[ComparedModel]
    on_test: OnTest | None
    importances: dict[str, float] | None
    saved: Saved | None
    occupancy: Occupancy | None
    reasons: Sequence[tuple[str, int]]
    written: datetime

    @property
    def winner(self) -> Row | None:
        """The first of the leaderboard."""
        return self.ranked[0] if self.ranked else None

    @property
    def metric(self) -> str:
        """The objective's."""
        return self.study.definition.objective.metric

    def label(self, metric: str) -> str:
        """A metric's name, with the class that it is of, if it is of one."""
        return metric_label(metric, self.positive)


def gather(artifacts: StudyArtifacts, top: int) -> Content:
    """Read a study, and compute what only its models and its table can tell.

    Args:
        artifacts: of a study in any state; without a COMPLETE trial there is nothing of models.
        top: rows of the leaderboard.

    Raises:
        ArtifactError: its table cannot be read.
    """
    study, store = artifacts.study, artifacts.store
    definition = study.definition
    trials, status = study.trials(), study.progress()
    experiment = load_experiment(store, definition.data)
    models = Models(study=study, store=store, experiment=experiment)
    found = ranked(trials, definition.direction, read_confirmed(study))
    rows = [row for row in found if row.state == "COMPLETE"]
    return Content(
        study=study,
        status=status,
        table=summarise(experiment.table.frame, experiment.dataset),
        classes=experiment.dataset.schema.classes,
        positive=experiment.dataset.schema.positive,
        trials=trials,
        ranked=rows,
        leaders=leaders(models, rows, top),
        contenders=_contenders(models, trials, rows),
        on_test=models.on_test(rows[0]) if rows else None,
        importances=importances(trials, definition.direction),
        saved=saved_by_pruning(trials),
        occupancy=occupancy(trials),
        reasons=_reasons(trials),
        written=datetime.now(UTC),
    )


def _contenders(
    models: Models, trials: Sequence[FrozenTrial], rows: Sequence[Row]
) -> list[ComparedModel]:
    """The winner, the default where it is another trial, the baselines."""
    if not rows:
        return []
    found = [models.contender(rows[0], "winner")]
    if rows[0].number != 0:
        default = as_row(trials[0])
        if default.state == "COMPLETE":
            found.append(models.contender(default, "default"))
        else:
            note = f"{default.state}: it has no weights"
            found.append(ComparedModel(name="trial 0", kind="default", note=note, metrics={}))
    return found + [as_contender(each) for each in fit_baselines(models.experiment.dataset)]


def _reasons(trials: Sequence[FrozenTrial]) -> list[tuple[str, int]]:
    """Those of trials that the pruner did not end."""
    pruner = " pruner"
    said = [
        str(trial.user_attrs["reason"]).splitlines()[0]
        for trial in trials
        if trial.user_attrs.get("reason") and trial.state != TrialState.COMPLETE
    ]
    return Counter(reason for reason in said if not reason.endswith(pruner)).most_common(10)
