"""A study: what workers ask, report to and tell, and what others look at.

Joins a definition with its rows in the storage. Every change is one transaction of the ledger and
rests on the lease of whoever makes it; pruning and sampling are Optuna's, over the reader.

Does not know: tensors, files.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import optuna
import sqlalchemy as sa
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hpo.definition import StudyDefinition
from hpo.errors import (
    BudgetError,
    LeaseLostError,
)
from hpo.sampling import draw, grid_points, make_pruner, make_sampler
from hpo.search_space import Params
from hpo.status import StudyStatus, read_status
from hpo.storage import ledger
from hpo.storage.engine import Storage
from hpo.storage.ledger import Expired, Lease
from hpo.strategies import GridSampler
from hpo.trial import Measurement

FinalState = Literal["COMPLETE", "PRUNED", "FAIL"]
DEFINITION, UUID, STORE, VERSION = "hpo:definition", "hpo:uuid", "hpo:artifacts", "hpo:version"


@dataclass(frozen=True, kw_only=True)
class WorkerId:
    """What a storage shows of a worker; `device` is the GPU's model, or `cpu`."""

    host: str
    pid: int
    device: str

    @property
    def key(self) -> str:
        """A name for it that no other living worker has."""
        return f"{self.host[:50]}:{self.pid}"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A trial that a worker may run: its lease, and the params drawn for it."""

    lease: Lease
    params: Params = field(compare=False)

    @property
    def trial_id(self) -> int:
        """The trial's id in the database."""
        return self.lease.trial_id

    @property
    def number(self) -> int:
        """The trial's number in its study."""
        return self.lease.number

    @property
    def attempt(self) -> int:
        """How often it has been claimed, this time included."""
        return self.lease.attempt


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What became of a report: the trials to end, and those that are another worker's now."""

    prune: set[Claim]
    lost: set[Claim]


class Study:
    """An open study.

    Attributes:
        name: unique in its storage.
        uuid: unique anywhere; artifacts are kept under it.
        definition: what it searches. Its budget is the one it was opened with.
        artifact_store_id: the store that holds its table and weights.
        storage: where its rows are.
    """

    def __init__(
        self, storage: Storage, study_id: int, name: str, attrs: Mapping[str, Any]
    ) -> None:
        """Bind to a study's row; see `open_study`."""
        self.storage = storage
        self.name = name
        self.uuid: str = attrs[UUID]
        self.definition = StudyDefinition.from_json(attrs[DEFINITION])
        self.artifact_store_id: str = attrs[STORE]
        self._id = study_id
        self._pruner = make_pruner(self.definition)
        self._curves: dict[Claim, dict[int, float]] = {}
        self._suspects: dict[int, tuple[Expired, float]] = {}
        self._worker: WorkerId | None = None

    def ask(self, worker: WorkerId, lease: float) -> Claim | None:
        """Claim the oldest waiting trial, or a new one if the budget has room.

        Args:
            worker: who asks.
            lease: seconds for which the trial is the worker's without a renewal.

        Returns:
            None when there is nothing to claim now.
        """
        self._worker = worker
        with self.storage.transaction() as connection:
            ledger.sign_on(connection, self._id, worker.key, vars(worker), lease)
            held = ledger.claim(connection, self._id, worker.key, lease)
        if held is None:
            return None
        self.storage.reader.invalidate(self._id)
        sampler = make_sampler(self.definition.sampler, held.number)
        study = optuna.Study(self.name, self.storage.reader, sampler, self._pruner)
        trial = Trial(study, held.trial_id)
        params = draw(self.definition, trial)
        if drawn := self.storage.reader.take_params(held.trial_id):
            with self.storage.transaction() as connection:
                ledger.fence(connection, held)
                ledger.write_params(connection, held.trial_id, drawn)
        claim = Claim(lease=held, params=params)
        self._curves[claim] = {}
        return claim

    def report(self, batch: Mapping[Claim, Sequence[Measurement]]) -> Verdicts:
        """Write what trials measured, all in one transaction, and ask the pruner.

        Args:
            batch: the epochs each trial finished since its last report, in their order; the step
                is the epoch, from 1, the value the raw validation metric.
        """
        lost: set[Claim] = set()
        with self.storage.transaction() as connection:
            for claim, measurements in batch.items():
                try:
                    ledger.fence(connection, claim.lease)
                except LeaseLostError:
                    lost.add(claim)
                    continue
                ledger.report(connection, claim.trial_id, measurements)
            if lost != batch.keys():
                ledger.count_busy(connection, self._id)
        for claim in lost:
            self._curves.pop(claim, None)
        kept = {claim: values for claim, values in batch.items() if claim not in lost}
        return Verdicts(prune={c for c, m in kept.items() if self._is_hopeless(c, m)}, lost=lost)

    def finish(
        self,
        claim: Claim,
        state: FinalState,
        value: float | None,
        user_attrs: Mapping[str, Any],
    ) -> None:
        """End a trial.

        Args:
            claim: the worker's right to do so.
            state: how it ended.
            value: the objective at its best epoch; None where nothing was measured.
            user_attrs: what else to keep of it; plain JSON.

        Raises:
            LeaseLostError: it is another worker's now; nothing was written.
        """
        self._curves.pop(claim, None)
        with self.storage.transaction() as connection:
            ledger.fence(connection, claim.lease)
            ledger.count_busy(connection, self._id)
            ledger.finish(connection, claim.lease, TrialState[state], value, user_attrs)
        self.storage.reader.invalidate(self._id)

    def release(self, claim: Claim) -> None:
        """Give a trial back: it waits under its number, with its params, for the next worker."""
        self._curves.pop(claim, None)
        with self.storage.transaction() as connection:
            try:
                ledger.fence(connection, claim.lease)
            except LeaseLostError:
                return  # it was taken back already
            ledger.count_busy(connection, self._id)
            ledger.give_back(connection, claim.trial_id)

    def renew(self, claims: Collection[Claim], lease: float) -> set[Claim]:
        """Renew leases; those that are another worker's now."""
        with self.storage.transaction() as connection:
            held = ledger.renew(connection, [claim.lease for claim in claims], lease)
            if held:
                ledger.count_busy(connection, self._id)
            if worker := self._worker:
                ledger.sign_on(connection, self._id, worker.key, vars(worker), lease)
        return {claim for claim in claims if claim.trial_id not in held}

    def reap(self) -> list[int]:
        """Take back the trials of workers that died.

        A lease is taken away at the second look that finds it expired and its beat unchanged, a
        third of a lease after the first: a worker that only lost its database for a while keeps it.

        Returns:
            Numbers of the trials that wait again.
        """
        with self.storage.reading() as connection:
            seen = {found.trial_id: found for found in ledger.expired(connection, self._id)}
        now = time.monotonic()
        looks = {
            trial_id: (found, first)
            for trial_id, (found, first) in self._suspects.items()
            if seen.get(trial_id) == found
        }
        self._suspects = {
            trial_id: looks.get(trial_id, (found, now)) for trial_id, found in seen.items()
        }
        ripe = [
            found
            for found, first in self._suspects.values()
            if now - first >= found.lease_ms / 3000
        ]
        if not ripe:
            return []
        with self.storage.transaction() as connection:
            return [found.number for found in ripe if ledger.take_back(connection, found)]

    def enqueue(self, params: Params) -> int:
        """Queue a trial with these params; the others are sampled when it is claimed.

        Returns:
            Its number.

        Raises:
            InputError: an unknown param or a value outside its range.
            BudgetError: the budget has no room for it.
        """
        self.definition.space.check_params(params)
        with self.storage.transaction() as connection:
            budget = ledger.lock_study(connection, self._id)
            assert budget is not None
            if ledger.count_trials(connection, self._id) >= budget.n_trials:
                raise BudgetError(
                    f"study {self.name} has all of its {budget.n_trials} trials: raise "
                    "budget.n_trials in its file, or pass --n-trials to hpo create, and try again"
                )
            _, number = ledger.add_trial(connection, self._id, params)
        return number

    def progress(self) -> StudyStatus:
        """Budget, trials by state, best value and workers, as they are now."""
        with self.storage.reading() as connection:
            status, best_id = read_status(
                connection, self._id, self.name, self.definition.direction
            )
        return status.with_params(self.storage.reader.get_trial(best_id).params if best_id else {})

    def trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The trials by number, as they are now."""
        self.storage.reader.invalidate(self._id)
        return self.storage.reader.get_all_trials(self._id, deepcopy=False, states=states)

    def extend(self, definition: StudyDefinition) -> None:
        """Raise the budget to a definition's.

        Raises:
            BudgetError: it is lower than the study's.
        """
        wanted = definition.budget
        with self.storage.transaction() as connection:
            row = ledger.lock_study(connection, self._id)
            assert row is not None
            timeout = None if row.timeout_ms is None else row.timeout_ms / 1000
            if wanted.n_trials < row.n_trials:
                raise BudgetError(
                    f"study {self.name} has a budget of {row.n_trials} trials, which cannot be "
                    f"lowered to {wanted.n_trials}"
                )
            if timeout is None or (wanted.timeout is not None and wanted.timeout < timeout):
                wanted = wanted.model_copy(update={"timeout": timeout})
            ledger.set_budget(connection, self._id, wanted.n_trials, wanted.timeout)
            self._enqueue_grid(connection, wanted.n_trials)

    def _enqueue_grid(self, connection: sa.Connection, n_trials: int) -> None:
        """Queue the points of a grid study that its budget has room for."""
        if not isinstance(self.definition.sampler, GridSampler):
            return
        points = grid_points(self.definition)
        for params in points[ledger.count_trials(connection, self._id) : n_trials]:
            ledger.add_trial(connection, self._id, params)

    def _is_hopeless(self, claim: Claim, measurements: Sequence[Measurement]) -> bool:
        """Show the pruner one epoch after the other, as if each had been reported alone."""
        curve = self._curves[claim]
        for measured in measurements:
            curve[measured.step] = measured.value
            trial = create_trial(state=TrialState.RUNNING, intermediate_values=dict(curve))
            trial.number, trial._trial_id = claim.number, claim.trial_id
            if self._pruner.prune(self._pruned_study, trial):
                return True
        return False

    @cached_property
    def _pruned_study(self) -> optuna.Study:
        return optuna.Study(self.name, self.storage.reader, None, self._pruner)
