"""The leaderboard: a study's finished trials, best first.

Trials are ranked by the validation metric and, among equals, by the lower validation loss.

Trials whose configuration was confirmed (`hpo confirm`) come first, by their mean over seeds; the
others follow by their single value. The mean of several trainings cannot be compared with the
luckiest of many single values. The default configuration is confirmed as a baseline only: if every
confirmed leader is better, it is ranked among the others by its mean.

`hpo leaderboard --json` prints the fields of a row, on which users' scripts depend.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.config.errors import InputError
from hpo.config.metrics import Direction, tie_break
from hpo.config.parsing import validate
from hpo.config.ranges import Value
from hpo.config.space import SearchSpace
from hpo.config.trial import Calibration, TrialConfig
from hpo.storage.attributes import BEST_EPOCH, CALIBRATION, FOLD_METRICS, METRICS, REASON
from hpo.study.confirmation import DEFAULT, SEED, Estimate
from hpo.study.retraining import read_confirmed
from hpo.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial.

    Attributes:
        value: the objective at the best epoch; None if nothing was measured.
        metrics: validation metrics of the task at that epoch; metrics that are undefined on the
            validation part are left out.
        user_attrs: further attributes that the worker recorded.
        confirmed: the objective over seeds, if `hpo confirm` trained the configuration again.
        fold_metrics: with folds, each fold's value of the metrics; None where it has none.
    """

    number: int
    value: float | None
    state: str
    params: dict[str, Any]
    metrics: dict[str, float]
    user_attrs: dict[str, Any]
    confirmed: Estimate | None = None
    fold_metrics: dict[str, list[float | None]] = field(default_factory=dict)

    @property
    def early(self) -> str:
        """Why a COMPLETE trial ended early, because the study's time was up; else empty."""
        return str(self.user_attrs.get(REASON, "")) if self.state == "COMPLETE" else ""

    def to_json(self) -> dict[str, Any]:
        """The row as a plain dict with its keys in the documented order."""
        return asdict(self)


def leaderboard(study: Study, *, every_state: bool = False) -> list[Row]:
    """The study's COMPLETE trials, or all trials, best first; trials without a value come last."""
    states = None if every_state else (TrialState.COMPLETE,)
    return ranked(study.trials(states), study.definition.direction, read_confirmed(study))


def ranked(
    trials: Iterable[FrozenTrial],
    direction: Direction,
    confirmed: Mapping[int, Estimate] | None = None,
) -> list[Row]:
    """Rank trials of any state as the leaderboard does.

    Args:
        trials: trials in any order.
        direction: direction of the objective.
        confirmed: means over seeds by trial number.
    """
    confirmed = confirmed or {}
    sign = direction.sign
    means = {number: sign * estimate.mean for number, estimate in confirmed.items()}
    worst = max((mean for number, mean in means.items() if number != DEFAULT), default=-math.inf)

    def rank(row: Row) -> tuple[bool, bool, bool, float, float, int]:
        value = math.inf if row.value is None else sign * row.value
        value = means.get(row.number, value)
        is_ahead = row.number in means and value <= worst
        is_behind = row.state != "COMPLETE", not is_ahead, row.value is None
        return *is_behind, value, tie_break(row.metrics), row.number

    return sorted((row(trial, confirmed.get(trial.number)) for trial in trials), key=rank)


def distinct(rows: Iterable[Row], space: SearchSpace) -> list[Row]:
    """The first row of each configuration, in order; the seed is no part of a configuration."""
    found: dict[frozenset[tuple[str, Value]], Row] = {}
    for each in rows:
        leaves = space.leaf_values(each.params)
        del leaves[SEED]
        found.setdefault(frozenset(leaves.items()), each)
    return list(found.values())


def why_empty(study: Study) -> str:
    """Why a study has no COMPLETE trial, and what the user can do, in a sentence."""
    status, text = study.progress(), f"study {study.name} has no COMPLETE trial"
    if (key := status.time_over) is None:
        return f"{text} yet"
    has_epoch = any(trial.intermediate_values for trial in study.trials())
    what = "was finished" if has_epoch else "had finished an epoch"
    return (
        f"{text}: budget.{key} = {getattr(status.budget, key):g} s was used up before any trial "
        f"{what}; hpo extend {study.name} --{key.replace('_', '-')} +10m lets its trials continue"
    )


def learning_curve(study: Study, number: int) -> dict[int, float]:
    """The validation metric of a trial by epoch, from 1."""
    return dict(sorted(study.trials()[number].intermediate_values.items()))


def find_row(study: Study, number: int) -> Row:
    """One trial by its number.

    Raises:
        InputError: the study has no such trial.
    """
    trials = study.trials()
    if not 0 <= number < len(trials):
        has = f"has trials 0 to {len(trials) - 1}" if trials else "has no trials yet"
        raise InputError(f"study {study.name} {has}, but got {number}")
    return row(trials[number], read_confirmed(study).get(number))


def complete_row(study: Study, number: int) -> Row:
    """One COMPLETE trial by its number.

    Raises:
        InputError: the study has no such trial, or it is not COMPLETE.
    """
    found = find_row(study, number)
    if found.state != "COMPLETE":
        raise InputError(
            f"trial {number} of study {study.name} is {found.state}: "
            "only COMPLETE trials have weights"
        )
    return found


def recorded_config(study: Study, trial: Row | FrozenTrial) -> TrialConfig:
    """The configuration of a trial, with the precision that it was trained in.

    Raises:
        DefinitionError: the trial's params are not valid.
    """
    config = study.definition.trial_config(trial.params)
    precision = trial.user_attrs.get("precision", config.training.precision)
    return replace(config, training=replace(config.training, precision=precision))


def recorded_calibration(study: Study, trial: Row) -> Calibration:
    """The calibration of a trial's weights.

    Raises:
        DefinitionError: the recorded one is not valid.
    """
    where = f"trial {trial.number} of study {study.name}"
    found: Calibration = validate(Calibration, trial.user_attrs.get(CALIBRATION, {}), where)
    return found


def best_epoch(study: Study, row: Row) -> int:
    """The epoch whose weights a COMPLETE trial keeps, from 1.

    Earlier versions did not record it. It is then the last of the epochs with the best value.

    Raises:
        InputError: another program than hpo has run the trial.
    """
    if BEST_EPOCH in row.user_attrs:
        return int(row.user_attrs[BEST_EPOCH])
    if not (curve := learning_curve(study, row.number)):
        raise InputError(f"trial {row.number} of study {study.name} has no recorded epochs")
    best = study.definition.direction.best(curve.values())
    return max(epoch for epoch, value in curve.items() if value == best)


def row(trial: FrozenTrial, confirmed: Estimate | None = None) -> Row:
    """The row of one of Optuna's trials."""
    attrs = dict(trial.user_attrs)
    return Row(
        number=trial.number,
        value=trial.value,
        state=trial.state.name,
        params=dict(trial.params),
        metrics=attrs.pop(METRICS, {}),
        fold_metrics=attrs.pop(FOLD_METRICS, {}),
        user_attrs=attrs,
        confirmed=confirmed,
    )
