"""A cache of a study's trials for Optuna's samplers and pruners.

Finished trials are read once. They are all read again when one of them was retried or changed by
hand, which raises the study's revision. Of unfinished trials, samplers and pruners need the state,
the params (which are written once, together) and the system attributes, but not the reports. A
refresh therefore costs what is new: neither 10,000 finished trials nor 1,000 trials that dead
workers left behind make it slow.
"""

from bisect import insort
from collections.abc import Container, Iterator, Sequence
from operator import attrgetter
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection, Row

from hpo.storage.attributes import read_revision
from hpo.storage.schema import TRIALS
from hpo.storage.trials import (
    OPEN,
    check_exists,
    read_heads,
    read_heads_by_id,
    read_open_attrs,
    read_open_by_heads,
    read_trials,
)

_number = attrgetter("number")


class Snapshot:
    """A study's trials as of the last refresh.

    Attributes:
        ended: finished trials in the order in which they were read; a new list when all of them
            were read again.
        open: unfinished trials by id.
    """

    ended: list[FrozenTrial]
    open: dict[int, FrozenTrial]

    def __init__(self, study_id: int) -> None:
        """Start empty."""
        self._study_id = study_id
        self._revision = 0
        self._clear()

    def _clear(self) -> None:
        self._finished: dict[int, FrozenTrial] = {}
        self.ended, self.open = [], {}
        self._last_id = -1
        self._ordered: dict[frozenset[TrialState], list[FrozenTrial]] = {}
        self._lists: dict[frozenset[TrialState], list[FrozenTrial]] = {}

    def refresh(self, connection: Connection) -> None:
        """Read what changed since the last refresh.

        Raises:
            KeyError: the study was deleted; the message is Optuna's.
        """
        if (revision := read_revision(connection, self._study_id)) != self._revision:
            self._revision = revision  # read before the trials: a later change is seen next time
            self._clear()
        new = read_heads(connection, self._study_id, TRIALS.c.trial_id > self._last_id)
        opened = read_heads(connection, self._study_id, TRIALS.c.state.in_(OPEN))
        if not new and not opened:
            check_exists(connection, self._study_id)
        if any(head.trial_id in self._finished for head in opened):  # a trial was retried
            self._clear()
            return self.refresh(connection)
        finished = list(self._read_ended(connection, new, {head.trial_id for head in opened}))
        self.open = self._read_open(connection, opened)
        for trial in finished:
            self._add_finished(trial)
        self._last_id = max((self._last_id, *(head.trial_id for head in new)))
        self._lists.clear()

    def trials(self, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """The trials of some or all states, by number."""
        wanted = frozenset(s for s in TrialState if states is None or s in states)
        if wanted not in self._lists:
            found = self._list_ended(wanted).copy()
            for trial in self.open.values():
                if trial.state in wanted:
                    insort(found, trial, key=_number)
            self._lists[wanted] = found
        return self._lists[wanted].copy()

    def _list_ended(self, wanted: frozenset[TrialState]) -> list[FrozenTrial]:
        """The finished trials of some states, by number; kept, and new ones are inserted."""
        if wanted not in self._ordered:
            chosen = (trial for trial in self.ended if trial.state in wanted)
            self._ordered[wanted] = sorted(chosen, key=_number)
        return self._ordered[wanted]

    def _read_ended(
        self, connection: Connection, new: Sequence[Row[Any]], still: Container[int]
    ) -> Iterator[FrozenTrial]:
        """The trials that finished since the last refresh; `still` are the unfinished ones."""
        known = {head.trial_id: head for head in new}
        ended = [own for own in {**self.open, **known} if own not in still]
        unsure = [own for own in ended if own not in known or known[own].state in OPEN]
        if unsure:
            known |= {head.trial_id: head for head in read_heads_by_id(connection, unsure)}
        heads = [known[own] for own in ended if own in known]  # the others were deleted
        return read_trials(connection, heads, user_attrs=False)

    def _read_open(
        self, connection: Connection, heads: Sequence[Row[Any]]
    ) -> dict[int, FrozenTrial]:
        """The unfinished trials by id; an unchanged trial stays the same object."""
        attrs = read_open_attrs(connection, self._study_id) if heads else {}
        found = {
            head.trial_id: before
            for head in heads
            if (before := self.open.get(head.trial_id)) is not None
            and before.params
            and before.state == head.state
            and before.system_attrs == attrs.get(head.trial_id, {})
        }
        changed = [head for head in heads if head.trial_id not in found]
        return found | read_open_by_heads(connection, changed, attrs)

    def _add_finished(self, trial: FrozenTrial) -> None:
        self._finished[trial._trial_id] = trial
        self.ended.append(trial)
        for states, chosen in tuple(self._ordered.items()):
            if trial.state in states:
                insort(chosen, trial, key=_number)


class EndedCursor:
    """A reader's place in a snapshot's list of finished trials."""

    def __init__(self) -> None:
        """Start before the first trial."""
        self._ended: list[FrozenTrial] = []
        self._n_read = 0

    def advance(self, snapshot: Snapshot) -> tuple[bool, list[FrozenTrial]]:
        """Go to the end.

        Returns:
            Whether the reader must forget what it read before, because all trials were read
            again; and the trials that it has not read, or all of them.
        """
        is_anew = snapshot.ended is not self._ended
        if is_anew:
            self._ended, self._n_read = snapshot.ended, 0
        new = self._ended[self._n_read :]
        self._n_read += len(new)
        return is_anew, new
