"""A study: workers claim, report and finish its trials; others read them.

A `Study` joins a definition with its rows in the storage. Every change is one transaction of the
ledger, and a worker writes only under its lease. Optuna's samplers and pruners read through
`hpo.storage.reader`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.config.errors import BudgetError, DamagedStudyError, LeaseLostError, StudyNotFoundError
from hpo.config.points import Points
from hpo.config.space import Params
from hpo.config.trial import Measurement
from hpo.storage import attributes, leases, ledger
from hpo.storage.best import OptimizationHistory
from hpo.storage.damage import check_attrs
from hpo.storage.engine import Connection, Storage
from hpo.storage.inventory import TrialFiles, read_inventory
from hpo.storage.leases import Lease, WorkerId
from hpo.storage.ledger import RELEASED, FinalState, Outcome
from hpo.storage.schema import NOT_FOUND, TRIAL_SYSTEM_ATTRS
from hpo.storage.trials import read_study_trials
from hpo.study.best_values import BestValues
from hpo.study.budget import trial_limit
from hpo.study.claim import Claim, ReportReply
from hpo.study.damage import reporting_damage
from hpo.study.history import InformedStudy, read_warm_start
from hpo.study.pruning import TrialPruner
from hpo.study.reaper import Reaper
from hpo.study.row import StudyRow, parse_definition, read_row
from hpo.study.rows import Result, StudyRows
from hpo.study.sampling import ParamSampler
from hpo.study.status import StudyStatus, read_status
from hpo.study.tried import TriedPoints


class Study(StudyRows):
    """An open study.

    Attributes:
        name: unique name in its storage.
        uuid: globally unique id; artifacts are stored under it.
        definition: what the study searches, with the budget as of opening or of the last change.
        artifact_store_id: id of the store that holds the table and the weights.
        notes: remarks on how the table was read that may surprise a person.
        warm_start_notes: what was taken from other studies, a sentence for each of them.
    """

    def __init__(self, storage: Storage, row: StudyRow) -> None:
        """Bind to the row of a study that hpo created; see `open_study`."""
        assert row.uuid is not None
        assert row.artifact_store_id is not None
        super().__init__(storage, row.id)
        self.definition = parse_definition(row.definition or "")
        self.name = self.definition.name
        self.uuid = row.uuid
        self.artifact_store_id = row.artifact_store_id
        self.notes = row.notes
        self.warm_start_notes = row.warm_start_notes
        self._row = row

    @cached_property
    def reaper(self) -> Reaper:
        """Takes back the trials of dead workers."""
        return Reaper(self, lambda c: self.read_row(c).budget.max_attempts)

    def ask(self, worker: WorkerId, lease: float) -> Claim | None:
        """Claim one trial and draw its params; None if there is no trial to claim now."""
        return next(iter(self.draw(self.claim(worker, lease))), None)

    def claim(self, worker: WorkerId, lease: float, n: int = 1) -> list[Lease]:
        """Claim trials in one transaction; `draw` gives them their params.

        Args:
            worker: the worker that claims them.
            lease: seconds after which a lease expires unless it is renewed.
            n: number of trials to claim at most.

        Returns:
            Leases on the oldest waiting trials, then on new ones. New trials are limited by the
            budget and by the untried points of a finite space.
        """

        def work(connection: Connection, row: StudyRow) -> list[Lease]:
            n_trials = trial_limit(connection, row, self.definition.direction)
            if n_trials is None:
                return []
            if self._tried is not None:
                n_there = ledger.count_trials(connection, self.id)
                n_trials = min(n_trials, n_there + self._tried.n_more(connection, n_there, n))
            return ledger.claim(connection, self.id, n_trials, worker, lease, n)

        try:
            return self.change(work)
        except StudyNotFoundError:  # deleted, or moved to another storage
            return []

    def draw(self, granted: Sequence[Lease]) -> list[Claim]:
        """Draw the params of claimed trials one by one, and write them in one transaction.

        Returns:
            The trials whose lease was not lost meanwhile.
        """
        if not granted:
            return []
        try:
            with self._reading():
                drawn = self._param_sampler.draw(granted)
        except StudyNotFoundError:
            return []
        if any(each.written for each in drawn.values()):  # none if earlier attempts wrote them
            drawn = self.write(lambda c: self._param_sampler.write(c, drawn))
        return [Claim(**vars(lease), params=each.params) for lease, each in drawn.items()]

    def resume(self, claim: Claim, measurements: Sequence[Measurement]) -> float:
        """Begin another attempt of a trial from a checkpoint.

        Args:
            claim: claim of a trial that was claimed before.
            measurements: measurements from epoch 1 up to the checkpoint; empty to start from
                scratch. Reports of later epochs are deleted.

        Returns:
            The number of workers that the trial can still lose; infinite before a first loss.

        Raises:
            LeaseLostError: the lease was lost.
        """

        def write(connection: Connection) -> tuple[dict[str, Any], float]:
            if not leases.touch(connection, [claim]):
                raise LeaseLostError(f"trial {claim.number} belongs to another worker now")
            ledger.rewind(connection, claim.trial_id, measurements)
            n_max = self.read_row(connection).budget.max_attempts
            return (
                attributes.read_trial(connection, TRIAL_SYSTEM_ATTRS, claim.trial_id),
                ledger.n_chances(connection, claim.trial_id, n_max),
            )

        system_attrs, n_chances = self.write(write)
        self._trial_pruner.resume(claim, claim.params, measurements, system_attrs)
        return n_chances

    def report(self, batch: Mapping[Claim, Sequence[Measurement]]) -> ReportReply:
        """Report what trials measured, in one transaction, and ask the pruner.

        Args:
            batch: the epochs that each trial finished since its last report, in order. The step is
                the epoch, from 1; the value is the raw validation metric.
        """
        try:
            with self._reading():
                decisions = {
                    claim: self._trial_pruner.decide(claim, claim.params, batch[claim])
                    for claim in batch
                }
        except StudyNotFoundError:  # deleted together with its leases
            return ReportReply(prune={}, lost=set(batch))

        def write(connection: Connection) -> set[Claim]:
            touched = leases.touch(connection, batch.keys())
            held = {claim for claim in batch if claim.trial_id in touched}
            reports = {claim.trial_id: decisions[claim].measurements for claim in held}
            ledger.write_reports(connection, reports)
            attrs = {claim.trial_id: decisions[claim].system_attrs for claim in held}
            attributes.write_trials(connection, TRIAL_SYSTEM_ATTRS, attrs)
            return held

        held = self.write(write)
        for claim in held:
            self._trial_pruner.remember(decisions[claim])
        pruned = {claim: decisions[claim] for claim in held if decisions[claim].is_pruned}
        return ReportReply(
            prune={claim: decision.measurements[-1].step for claim, decision in pruned.items()},
            lost=batch.keys() - held,
        )

    def finish(
        self, claim: Claim, state: FinalState, value: float | None, user_attrs: Mapping[str, Any]
    ) -> None:
        """Finish one trial; see `finish_all`.

        Raises:
            LeaseLostError: the lease was lost; nothing was written.
        """
        if self.finish_all({claim: Outcome(state=state, value=value, user_attrs=user_attrs)}):
            raise LeaseLostError(f"trial {claim.number} belongs to another worker now")

    def finish_all(self, endings: Mapping[Claim, Outcome]) -> set[Claim]:
        """Finish trials in one transaction.

        Finishing a trial again in the same state, because the connection was lost before the
        storage could answer, changes nothing.

        Returns:
            The trials whose lease was lost; nothing was written to them.
        """

        def write(connection: Connection) -> set[Claim]:
            leases.tick(connection, self.id)
            touched = leases.touch(connection, endings.keys())
            held = {own.trial_id: end for own, end in endings.items() if own.trial_id in touched}
            ledger.finish(connection, held)
            return {
                claim
                for claim, ending in endings.items()
                if claim.trial_id not in touched
                and not ledger.has_ended(connection, claim, ending.state)
            }

        lost = self.write(write)
        for claim in endings:
            self._trial_pruner.forget(claim)
        self.storage.reader.invalidate(self.id)
        return lost

    def release(self, *claims: Lease, how: str = RELEASED) -> None:
        """Give trials back: they wait under their numbers, with their params, for other workers.

        Args:
            claims: leases on the trials; lost ones are ignored.
            how: how the attempts ended. Unless it is `RELEASED`, they count as lost workers.
        """

        def write(connection: Connection) -> None:
            leases.tick(connection, self.id)
            if touched := leases.touch(connection, claims):
                n_max = self.read_row(connection).budget.max_attempts
                for own in sorted(touched):
                    ledger.give_back(connection, own, how, n_max)

        if claims:
            self.write(write)
        for claim in claims:
            self._trial_pruner.forget(claim)

    def renew(self, held: Collection[Lease], lease: float) -> set[str]:
        """Renew leases; return the tokens of lost ones. Any thread may call this."""

        def write(connection: Connection) -> set[int]:
            if leases.has_run_out(connection, held):
                leases.tick(connection, self.id)
            return leases.touch(connection, held, lease)

        kept = self.write(write)
        return {own.token for own in held if own.trial_id not in kept}

    def enqueue(self, params: Params) -> int:
        """Enqueue a trial with these params; the other params are sampled when it is claimed.

        Returns:
            The number of the trial.

        Raises:
            InputError: a param is unknown, outside its range, or may be inactive in the trial.
            BudgetError: the budget has no room for another trial.
        """
        self.definition.space.check_params(params)
        self.definition.space.check_active(params)

        def work(connection: Connection, row: StudyRow) -> int:
            number, n_trials = ledger.count_trials(connection, self.id), row.budget.n_trials
            if number >= n_trials:
                raise BudgetError(
                    f"study {self.name} has all of its budget's {n_trials} trials: "
                    f"hpo extend {self.name} --n-trials +1 makes room for another"
                )
            ledger.add_trial(connection, self.id, number, params)
            return number

        return self.change(work)

    def change(self, work: Callable[[Connection, StudyRow], Result]) -> Result:
        """Run some work in one transaction that holds the study's lock; return its result.

        Args:
            work: gets the connection and the current row of the study.

        Raises:
            StudyNotFoundError: the study was deleted or has moved to another storage.
        """

        def write(connection: Connection) -> Result:
            if not ledger.lock_study(connection, self.id):
                raise self._not_found()
            return work(connection, self.read_row(connection))

        return self.write(write)

    def progress(self, history: OptimizationHistory | None = None) -> StudyStatus:
        """The current status: budget, trials by state, best value and workers.

        Args:
            history: brought up to date as well; pass the same one to each call.

        Raises:
            StudyNotFoundError: the study was deleted.
        """
        with self._reading(), self.read() as connection:
            row = self.read_row(connection)
            status = read_status(connection, self.definition, row, history)
            n_there = sum(status.counts.values())
            if self._tried is None or self._tried.n_more(connection, n_there, 1):
                return status
        return replace(status, n_points=self.n_points)

    def trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The current trials of some or all states, by number."""
        with self._reading(), self.read() as connection:
            trials = read_study_trials(connection, self.id, states)
            check_attrs(trials)
        return trials

    def is_among_best(self, value: float, n: int) -> bool:
        """Whether a value is better than one of the `n` best COMPLETE trials, some seconds ago."""
        with self._reading():
            return self._best_values.admit(value, n)

    def inventory(self) -> dict[int, TrialFiles]:
        """The artifacts that the trials name, by number."""
        with self.read() as connection:
            return read_inventory(connection, self.id)

    def check_store(self, store_id: str) -> None:
        """Check that an artifact store is the study's.

        Raises:
            InputError: it is another store.
        """
        self._row.check_store(store_id)

    def read_row(self, connection: Connection) -> StudyRow:
        """Read the current row of the study.

        Raises:
            StudyNotFoundError: the study was deleted, after which SQLite may have assigned its id
                again, or it has moved to another storage.
            DamagedStudyError: one of its attributes is damaged.
        """
        row = read_row(connection, self.id, self.name, self.storage.safe_url)
        if row.flaw is not None:
            raise DamagedStudyError(self.name, self.storage.safe_url, row.flaw)
        if row.uuid != self.uuid or row.moved_to is not None:
            self.storage.reader.forget(self.id)
            raise self._not_found()
        return row

    @property
    def n_points(self) -> int | None:
        """The number of points of the search space; None if it is infinite."""
        return None if self._tried is None else self._tried.points.n

    @cached_property
    def _tried(self) -> TriedPoints | None:
        """The tried points of the search space; None if it is infinite."""
        points = Points.of(self.definition.space)
        return None if points is None else TriedPoints(points, self.storage.reader, self.id)

    @cached_property
    def _best_values(self) -> BestValues:
        return BestValues(self.definition.direction, self.storage.reader, self.id)

    @cached_property
    def _trial_pruner(self) -> TrialPruner:
        return TrialPruner(self.definition, self._optuna, self.storage.reader)

    @cached_property
    def _param_sampler(self) -> ParamSampler:
        with self.read() as connection:
            known = read_warm_start(connection, self._row).known
        informed = InformedStudy(self._optuna, self.definition.space, known)
        return ParamSampler(self.definition, informed, self.storage.reader, self._tried)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Translate errors of Optuna's storage, and report damaged rows."""
        try:
            with reporting_damage(self.storage, self.id), self.storage.errors():
                yield
        except KeyError as error:
            raise self._not_found() if error.args == (NOT_FOUND,) else error from error

    def _not_found(self) -> StudyNotFoundError:
        return StudyNotFoundError(f"study {self.name} is no longer in {self.storage.safe_url}")

    @cached_property
    def _optuna(self) -> optuna.Study:
        """The study for Optuna's samplers and pruners; it does not use those given here."""
        unused = optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()
        return optuna.Study(self.name, self.storage.reader, *unused)
