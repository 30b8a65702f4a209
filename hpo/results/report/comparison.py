"""How good the leaders are: intervals, and the winner beside the default and the baselines.

Intervals are of the validation part. Test metrics are those that an export would show, kept beside
the weights; only of the winner are predictions on test rows made, for a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo.config.errors import ArtifactError
from hpo.models.experiment import Experiment
from hpo.models.model import Model
from hpo.results.report.baselines import Baseline
from hpo.results.report.intervals import Interval, interval, resampled
from hpo.results.stored import stored_model, test_metrics
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row

Array = NDArray[Any]
N_WITH_INTERVAL = 10
"""So many of the leaders have an interval, and so has the default."""


@dataclass(frozen=True, kw_only=True)
class Leader:
    """A row of the leaderboard.

    Attributes:
        metric: the objective's, on the validation part in float32; None where it is unknown.
        interval: of it.
        behind: how much worse than the winner's it is, pair by pair; None for the winner itself.
    """

    rank: int
    row: Row
    metric: float | None
    interval: Interval | None = None
    behind: Interval | None = None

    @property
    def is_level(self) -> bool:
        """Whether the validation part cannot tell it from the winner."""
        return self.behind is not None and self.behind.low <= 0 <= self.behind.high


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """Who is compared: the winner, the default configuration, a baseline.

    Attributes:
        kind: `winner`, `default` or `baseline`.
        metrics: `validation` and, where they are known, `test`, each by metric; without those that
            have no value there.
    """

    name: str
    kind: str
    note: str
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class OnTest:
    """The winner's predictions on the test part: values or probabilities, and the truth."""

    outputs: Array
    y: Array


@dataclass(frozen=True, kw_only=True)
class Models(StudyArtifacts):
    """The weights of a study's trials, as far as they are there."""

    experiment: Experiment

    def load(self, row: Row) -> Model | None:
        """A COMPLETE trial's model; None where its weights are gone."""
        if "artifact" not in row.user_attrs:  # another program told it
            return None
        try:
            return stored_model(self.store, row)
        except ArtifactError:
            return None

    def contender(self, row: Row, kind: str) -> ComparedModel:
        """A trial beside others; without weights or a test part there are no test metrics."""
        model = self.load(row)
        metrics = {"validation": row.metrics if model is None else model.metrics}
        note = "its weights are not in the artifact store: no test metrics"
        if model is not None:
            test = test_metrics(self, self.experiment, row, model)
            metrics |= {"test": test} if test else {}
            note = "" if test else "the study has no test part"
        return ComparedModel(name=f"trial {row.number}", kind=kind, note=note, metrics=metrics)

    def on_test(self, winner: Row) -> OnTest | None:
        """What the winner predicts on the test part, where there is one."""
        part = self.experiment.dataset.part("test")
        if not len(part.y) or (model := self.load(winner)) is None:
            return None
        outputs = model.outputs(part.x_num, part.x_cat)
        return OnTest(outputs=outputs.numpy(), y=part.y.numpy())


def leaders(models: Models, ranked: Sequence[Row], top: int) -> list[Leader]:
    """The first rows of the leaderboard, and the default's; intervals where weights are there."""
    metric = models.study.definition.objective.metric
    found = [
        Leader(rank=rank, row=row, metric=row.metrics.get(metric, row.value))
        for rank, row in enumerate(ranked, start=1)
        if rank <= top or row.number == 0
    ]
    part, task = models.experiment.dataset.part("val"), models.experiment.dataset.schema.task
    outputs = {}
    for leader in found:
        number, is_due = leader.row.number, leader.rank <= N_WITH_INTERVAL or not leader.row.number
        if is_due and (model := models.load(leader.row)) is not None:
            outputs[number] = model.outputs(part.x_num, part.x_cat).numpy()
    if not outputs:
        return found
    values = resampled(metric, task, part.y.numpy(), list(outputs.values()))
    by_number = dict(zip(outputs, values.T, strict=True))
    sign = models.study.definition.direction.sign
    return [_with_intervals(leader, by_number, ranked[0].number, sign) for leader in found]


def _with_intervals(
    leader: Leader, values: dict[int, NDArray[np.float64]], winner: int, sign: float
) -> Leader:
    own = values.get(leader.row.number)
    if own is None:
        return leader
    behind = None
    if winner in values and leader.row.number != winner:
        behind = interval(sign * (own - values[winner]))
    return Leader(
        rank=leader.rank,
        row=leader.row,
        metric=leader.metric,
        interval=interval(own),
        behind=behind,
    )


def as_contender(baseline: Baseline) -> ComparedModel:
    """A baseline beside others."""
    note = f"{baseline.note}; fitted in {baseline.seconds:.1f} s"
    return ComparedModel(name=baseline.name, kind="baseline", note=note, metrics=baseline.metrics)
