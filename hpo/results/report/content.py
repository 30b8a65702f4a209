"""The content of a report, gathered from a study's trials, its table and its weights.

All trials are read once, so that every part of the report shows the same moment.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from optuna.trial import FrozenTrial, TrialState

from hpo.config.metrics import metric_label
from hpo.models.experiment import load_experiment
from hpo.results.report import effort
from hpo.results.report.baselines import fit_baselines
from hpo.results.report.comparison import ComparedModel, Leader, Models, TestPredictions, leaders
from hpo.results.report.summary import TableSummary, summarize
from hpo.storage.attributes import REASON
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row, ranked
from hpo.study.leaderboard import row as as_row
from hpo.study.retraining import read_confirmed
from hpo.study.status import StudyStatus
from hpo.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything that a report shows.

    Attributes:
        positive: the positive class of a binary task.
        trials: all trials by number.
        ranked: COMPLETE trials, best first.
        leaders: the first of them.
        compared: the winner, the default and the baselines; empty before there is a winner.
        reasons: the most frequent reasons why trials failed or diverged, with their counts.
        written: the time of writing in UTC.
    """

    study: Study
    status: StudyStatus
    table: TableSummary
    classes: tuple[str, ...]
    positive: str | None
    trials: Sequence[FrozenTrial]
    ranked: Sequence[Row]
    leaders: Sequence[Leader]
    compared: Sequence[ComparedModel]
    on_test: TestPredictions | None
    saved: effort.PruningSavings | None
    concurrency: effort.Concurrency | None
    reasons: Sequence[tuple[str, int]]
    written: datetime

    @property
    def winner(self) -> Row | None:
        """The first of the leaderboard."""
        return self.ranked[0] if self.ranked else None

    @property
    def metric(self) -> str:
        """The objective's metric."""
        return self.study.definition.objective.metric

    def label(self, metric: str) -> str:
        """A metric's name, with the positive class if the metric depends on it."""
        return metric_label(metric, self.positive)


def gather(artifacts: StudyArtifacts, top: int) -> Content:
    """Read a study, measure its leaders and fit the baselines.

    Args:
        artifacts: of a study in any state; without a COMPLETE trial no model is looked at.
        top: rows of the leaderboard.

    Raises:
        ArtifactError: the study's table cannot be read.
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
        table=summarize(experiment.table.frame, experiment.dataset),
        classes=experiment.dataset.schema.classes,
        positive=experiment.dataset.schema.positive,
        trials=trials,
        ranked=rows,
        leaders=leaders(models, rows, top),
        compared=_compared(models, trials, rows),
        on_test=models.on_test(rows[0]) if rows else None,
        saved=effort.saved_by_pruning(trials),
        concurrency=effort.concurrency(trials),
        reasons=_reasons(trials),
        written=datetime.now(UTC),
    )


def _compared(
    models: Models, trials: Sequence[FrozenTrial], rows: Sequence[Row]
) -> list[ComparedModel]:
    """The winner, the default if it is another trial, the baselines."""
    if not rows:
        return []
    found = [models.compared(rows[0], "winner")]
    if rows[0].number != 0:
        default = as_row(trials[0])
        if default.state == "COMPLETE":
            found.append(models.compared(default, "default"))
        else:
            note = f"{default.state}: it has no weights"
            found.append(ComparedModel(name="trial 0", kind="default", note=note, metrics={}))
    return found + fit_baselines(models.experiment.dataset, models.study.definition.objective)


def _reasons(trials: Sequence[FrozenTrial]) -> list[tuple[str, int]]:
    """Why trials ended early, except by the pruner."""
    return Counter(
        str(trial.user_attrs[REASON]).splitlines()[0]
        for trial in trials
        if trial.user_attrs.get(REASON)
        and trial.state != TrialState.COMPLETE
        and not effort.is_pruned_by_pruner(trial)
    ).most_common(10)
