"""How good the leaders are: intervals, and the winner beside the default and the baselines.

Intervals are of the validation part. Test metrics are the ones that an export shows, stored beside
the weights. Only the winner predicts on test rows here, for a figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from hpo.config.errors import ArtifactError
from hpo.models.ensemble import TrialModel
from hpo.models.experiment import Experiment
from hpo.results.report.intervals import Interval, interval, resampled
from hpo.results.stored import stored_model, test_metrics
from hpo.storage.attributes import ARTIFACT
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import Row

N_WITH_INTERVAL = 10
"""The first leaders that get an interval; the default gets one too."""


@dataclass(frozen=True, kw_only=True)
class Leader:
    """A row of the leaderboard.

    Attributes:
        metric: the objective's metric on the validation part in float32; None if unknown.
        interval: of the metric.
        behind: how much worse than the winner the trial is, on the same resamples; None for the
            winner itself.
    """

    rank: int
    row: Row
    metric: float | None
    interval: Interval | None = None
    behind: Interval | None = None

    @property
    def is_level(self) -> bool:
        """Whether the validation part cannot tell the trial from the winner."""
        return self.behind is not None and self.behind.low <= 0 <= self.behind.high


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """The winner, the default configuration or a baseline.

    Attributes:
        kind: `winner`, `default` or `baseline`.
        note: what there is to know about its metrics.
        metrics: by part (`validation` and, if known, `test`) and metric; metrics that have no
            value on the part are left out.
    """

    name: str
    kind: str
    note: str
    metrics: dict[str, dict[str, float]]

    @property
    def title(self) -> str:
        """The name, after the kind of a trial."""
        return self.name if self.kind == "baseline" else f"{self.kind}, {self.name}"


@dataclass(frozen=True, kw_only=True)
class TestPredictions:
    """The winner's predictions on the test part (values or probabilities), and the targets."""

    outputs: NDArray[Any]
    y: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Models(StudyArtifacts):
    """The models of a study's trials whose weights are in the artifact store."""

    experiment: Experiment

    def load(self, row: Row) -> TrialModel | None:
        """A COMPLETE trial's model; None if its weights are gone."""
        if ARTIFACT not in row.user_attrs:  # the trial was run by another program
            return None
        try:
            return stored_model(self.store, row)
        except ArtifactError:
            return None

    def compared(self, row: Row, kind: str) -> ComparedModel:
        """A trial with its metrics; without weights or a test part there are no test metrics."""
        model = self.load(row)
        metrics = {"validation": row.metrics if model is None else model.metrics}
        note = "its weights are not in the artifact store: no test metrics"
        if model is not None:
            test = test_metrics(self, self.experiment, [row], model)
            metrics |= {"test": test} if test else {}
            note = "" if test else "the study has no test part"
        return ComparedModel(name=f"trial {row.number}", kind=kind, note=note, metrics=metrics)

    def on_test(self, winner: Row) -> TestPredictions | None:
        """The winner's predictions on the test part, if there is one."""
        part = self.experiment.dataset.part("test")
        if not len(part.y) or (model := self.load(winner)) is None:
            return None
        outputs = model.outputs(part.x_num, part.x_cat)
        return TestPredictions(outputs=outputs.numpy(), y=part.y.numpy())


def leaders(models: Models, ranked: Sequence[Row], top: int) -> list[Leader]:
    """The first rows of the leaderboard and the default, with intervals if weights are stored."""
    objective = models.study.definition.objective
    found = [
        Leader(rank=rank, row=row, metric=row.metrics.get(objective.metric, row.value))
        for rank, row in enumerate(ranked, start=1)
        if rank <= top or row.number == 0
    ]
    dataset = models.experiment.dataset
    part, schema = dataset.part("val"), dataset.schema
    logits, thresholds = {}, []
    for leader in found:
        number, is_due = leader.row.number, leader.rank <= N_WITH_INTERVAL or not leader.row.number
        if is_due and (model := models.load(leader.row)) is not None:
            logits[number] = models.experiment.validation_logits(model)
            thresholds.append(model.calibration.threshold)
    if not logits:
        return found
    n_classes = len(schema.classes)
    of_each = list(logits.values())
    values = resampled(objective, schema.task, n_classes, of_each, part.y, part.weights, thresholds)
    by_number = dict(zip(logits, values.T, strict=True))
    winner, sign = by_number.get(ranked[0].number), models.study.definition.direction.sign
    for place, leader in enumerate(found):
        own = by_number.get(leader.row.number)
        if own is not None:
            is_behind = winner is not None and leader.rank > 1
            behind = interval(sign * (own - winner)) if is_behind else None
            found[place] = replace(leader, interval=interval(own), behind=behind)
    return found
