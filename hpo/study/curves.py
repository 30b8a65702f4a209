"""The curves of a study's COMPLETE trials, as a pruner compares a trial with them.

With a constant learning rate, trials are compared at equal epochs. A schedule depends on
`max_epochs`: after 10 epochs, a trial of 80 planned epochs is worse than one of 20, whose learning
rate has fallen further. So trials with the same schedule are compared at equal shares of their
planned epochs, and trials with different schedules are not compared.
"""

from array import array
from collections import Counter, defaultdict
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from hpo.config.space import SearchSpace
from hpo.storage.snapshot import EndedCursor, Snapshot


class Plan(NamedTuple):
    """The schedule of a trial.

    Attributes:
        schedule: of the learning rate.
        n_epochs: planned; 1 with a constant learning rate, which has no plan.
    """

    schedule: str
    n_epochs: int

    @classmethod
    def of(cls, space: SearchSpace, trial: FrozenTrial) -> "Plan":
        """The plan of a trial, from its params."""
        training = space.resolve(trial.params)["training"]
        schedule = str(training["schedule"])
        return cls(schedule, 1 if schedule == "constant" else int(training["max_epochs"]))


class Curves:
    """The reports of a study's COMPLETE trials, in an array for each plan and step.

    An update costs only as much as is new.

    Attributes:
        n_complete: the number of trials of each schedule.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Start empty."""
        self._space = space
        self._cursor = EndedCursor()
        self._clear()

    def update(self, snapshot: Snapshot) -> bool:
        """Add the trials that are COMPLETE since the last update; whether anything changed."""
        is_anew, new = self._cursor.advance(snapshot)
        if is_anew:
            self._clear()
        complete = [trial for trial in new if trial.state == TrialState.COMPLETE]
        for trial in complete:
            self._add(trial)
        return is_anew or bool(complete)

    def reported(self, plan: Plan, step: int) -> "array[float]":
        """The values to compare with a trial's value at a step, one per trial that got so far."""
        found = array("d")
        for other, columns in self._columns.items():
            if other.schedule == plan.schedule:
                found.extend(columns.get(step * other.n_epochs // plan.n_epochs, ()))
        return found

    def _clear(self) -> None:
        self._columns: dict[Plan, defaultdict[int, array[float]]] = {}
        self.n_complete: Counter[str] = Counter()

    def _add(self, trial: FrozenTrial) -> None:
        plan = Plan.of(self._space, trial)
        self.n_complete[plan.schedule] += 1
        columns = self._columns.setdefault(plan, defaultdict(lambda: array("d")))
        for step, value in trial.intermediate_values.items():
            columns[step].append(value)
