"""The leaderboard: a study's finished trials, best first.

Ranking uses the validation metric alone. A row is what `hpo leaderboard --json` prints; scripts
hang on its keys.

Does not know: how rows are shown, weights, the test part.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import polars
from optuna.trial import FrozenTrial, TrialState

from hpo.errors import InputError
from hpo.study import Study
from hpo.trial import Direction


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial.

    Attributes:
        value: the objective at the best epoch; None where nothing was measured.
        metrics: every validation metric of the task at that epoch.
        user_attrs: what else the worker recorded.
    """

    number: int
    value: float | None
    state: str
    params: dict[str, Any]
    metrics: dict[str, float]
    user_attrs: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The row as a plain dict, its keys in their documented order."""
        return asdict(self)


def leaderboard(study: Study, *, every_state: bool = False) -> list[Row]:
    """The study's COMPLETE trials, or all of them, best first; those without a value come last."""
    states = None if every_state else (TrialState.COMPLETE,)
    return ranked(study.trials(states), study.definition.direction)


def ranked(trials: Iterable[FrozenTrial], direction: Direction) -> list[Row]:
    """Trials of any state, best first as the leaderboard has them."""
    sign = 1.0 if direction == "minimize" else -1.0

    def rank(row: Row) -> tuple[bool, bool, float, int]:
        value = float("inf") if row.value is None else sign * row.value
        return row.state != "COMPLETE", row.value is None, value, row.number

    return sorted(map(row, trials), key=rank)


def learning_curve(study: Study, number: int) -> dict[int, float]:
    """What a trial reported: the validation metric by epoch, from 1."""
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
    return row(trials[number])


def row(trial: FrozenTrial) -> Row:
    """What the leaderboard says of one of Optuna's trials."""
    attrs = dict(trial.user_attrs)
    return Row(
        number=trial.number,
        value=trial.value,
        state=trial.state.name,
        params=dict(trial.params),
        metrics=attrs.pop("metrics", {}),
        user_attrs=attrs,
    )


def to_table(rows: list[Row]) -> polars.DataFrame:
    """Rows with a column each for the value, the metrics and the params."""
    return polars.DataFrame(
        [
            {
                "rank": rank,
                "number": row.number,
                "state": row.state,
                "value": row.value,
                **row.metrics,
                **row.params,
            }
            for rank, row in enumerate(rows, start=1)
        ],
        infer_schema_length=None,
        strict=False,
    )
