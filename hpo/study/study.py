"""A study: what workers ask, report to and tell, and what others look at.

Joins a definition with its rows in the storage. Every change is one transaction of the ledger, and
what a worker writes rests on its lease; sampling and pruning are Optuna's, over the reader.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection

from hpo.config.definition import Budget, StudyDefinition
from hpo.config.errors import BudgetError, InputError, LeaseLostError, StudyNotFoundError
from hpo.config.space import Params
from hpo.config.trial import Measurement
from hpo.storage import attributes, leases, ledger
from hpo.storage.engine import Storage
from hpo.storage.inventory import TrialFiles, read_inventory
from hpo.storage.leases import Lease as Lease
from hpo.storage.leases import WorkerId as WorkerId
from hpo.storage.leases import worker_key as worker_key
from hpo.storage.ledger import FinalState as FinalState
from hpo.storage.ledger import Outcome as Outcome
from hpo.storage.schema import NOT_FOUND, TRIAL_SYSTEM_ATTRS
from hpo.storage.snapshot import read_study
from hpo.storage.trend import Trend
from hpo.study.pruning import Judge
from hpo.study.reaper import Reaper
from hpo.study.sampling import ParamSampler
from hpo.study.budget import DEFINITION as DEFINITION
from hpo.study.budget import GIVEN, STANDING, Settings, raise_by_file, room
from hpo.study.status import StudyStatus, read_status
from hpo.study.tried import TriedPoints

RELEASED = ledger.RELEASED
UUID, STORE, VERSION, NOTES = "hpo:uuid", "hpo:artifacts", "hpo:version", "hpo:notes"
FORMAT, MOVED = "hpo:format", "hpo:moved"
"""System attributes of a study's row, beside those of its settings."""


@dataclass(frozen=True, kw_only=True)
class Claim(Lease):
    """A trial that a worker may run, and the params drawn for it."""

    params: Params = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class ReportReply:
    """What became of a report.

    Attributes:
        prune: trials to end, with the epoch at which the pruner ended them; epochs that were
            reported beyond it were not written.
        lost: trials that are another worker's now.
    """

    prune: dict[Claim, int]
    lost: set[Claim]


class Study:
    """An open study.

    Attributes:
        name: unique in its storage.
        uuid: unique anywhere; artifacts are kept under it.
        definition: what it searches, with the budget as it was when opened.
        artifact_store_id: the store that holds its table and weights.
        notes: what was taken otherwise than a person might expect of its table.
        storage: where its rows are.
    """

    def __init__(self, storage: Storage, study_id: int, attrs: Mapping[str, Any]) -> None:
        """Bind to a study's row; see `open_study`."""
        self.storage = storage
        self.definition = StudyDefinition.from_json(attrs[DEFINITION])
        self.name = self.definition.name
        self.uuid: str = attrs[UUID]
        self.artifact_store_id: str = attrs[STORE]
        self.notes = tuple(str(note) for note in attrs.get(NOTES, ()))
        self._id = study_id

    @property
    def id(self) -> int:
        """The key of its row."""
        return self._id

    @cached_property
    def reaper(self) -> Reaper:
        """What takes back the trials of dead workers."""
        return Reaper(self.storage, self._id, lambda c: self.settings(c).budget.max_attempts)

    def ask(self, worker: WorkerId, lease: float) -> Claim | None:
        """Claim one trial, with its params; None when there is none to claim now."""
        return next(iter(self.draw(self.claim(worker, lease))), None)

    def claim(self, worker: WorkerId, lease: float, n: int = 1) -> list[Lease]:
        """Put trials under leases, all in one transaction; `draw` gives them their params.

        Args:
            worker: who asks.
            lease: seconds for which they stay the worker's without a renewal.
            n: how many are wanted.

        Returns:
            As many as there are now: the oldest waiting trials, then new ones as far as the budget
            has room, and a finite space untried points.
        """

        def write(connection: Connection) -> list[Lease]:
            if not ledger.lock_study(connection, self._id):
                return []
            settings, direction = self.settings(connection), self.definition.direction
            n_trials = room(connection, self._id, settings, direction)
            if n_trials is None:
                return []
            if self._tried is not None:
                n_there = ledger.count_trials(connection, self._id)
                n_trials = min(n_trials, n_there + self._tried.n_more(connection, n_there, n))
            return ledger.claim(connection, self._id, n_trials, worker, lease, n)

        try:
            return self.storage.write(write)
        except StudyNotFoundError:  # deleted, or moved to another storage
            return []

    def draw(self, granted: Sequence[Lease]) -> list[Claim]:
        """Draw the params of claimed trials, one after the other, and write them all at once.

        Returns:
            Those whose lease was not lost meanwhile.
        """
        if not granted:
            return []
        try:
            with self._reading():
                drawn = self._param_sampler.draw(self.definition, granted)
        except StudyNotFoundError:
            return []
        if any(each.written for each in drawn.values()):  # those of earlier attempts are there
            drawn = self.storage.write(
                lambda c: self._param_sampler.write(c, self.definition, drawn)
            )
        return [Claim(**vars(lease), params=each.params) for lease, each in drawn.items()]

    def resume(self, claim: Claim, measurements: Sequence[Measurement]) -> float:
        """Begin a further attempt with what the trial measured up to its checkpoint.

        Args:
            claim: of a trial that was claimed before.
            measurements: from epoch 1 on; none when it begins anew. Later ones are forgotten.

        Returns:
            Workers that the trial may yet cost; without end where it has cost none so far.

        Raises:
            LeaseLostError: the trial is another worker's now.
        """

        def write(connection: Connection) -> tuple[dict[str, Any], float]:
            leases.fence(connection, claim)
            ledger.rewind(connection, claim.trial_id, measurements)
            n_max = self.settings(connection).budget.max_attempts
            return (
                attributes.read_trial(connection, TRIAL_SYSTEM_ATTRS, claim.trial_id),
                ledger.n_chances(connection, claim.trial_id, n_max),
            )

        noted, n_chances = self.storage.write(write)
        self._judge.recall(claim, measurements, noted)
        return n_chances

    def report(self, batch: Mapping[Claim, Sequence[Measurement]]) -> ReportReply:
        """Write what trials measured, all in one transaction, as far as the pruner lets them go.

        Args:
            batch: the epochs each trial finished since its last report, in their order; the step
                is the epoch, from 1, the value the raw validation metric.
        """
        try:
            with self._reading():
                judged = {claim: self._judge.judge(claim, batch[claim]) for claim in batch}
        except StudyNotFoundError:  # deleted, and its leases with it
            return ReportReply(prune={}, lost=set(batch))

        def write(connection: Connection) -> set[Claim]:
            touched = leases.touch(connection, batch.keys())
            held = {claim for claim in batch if claim.trial_id in touched}
            reports = {claim.trial_id: judged[claim].measurements for claim in held}
            ledger.write_reports(connection, reports)
            notes = {claim.trial_id: judged[claim].system_attrs for claim in held}
            attributes.write_trials(connection, TRIAL_SYSTEM_ATTRS, notes)
            return held

        held = self.storage.write(write)
        for claim in held:
            self._judge.remember(judged[claim])
        ended = {claim: judged[claim] for claim in held if judged[claim].is_hopeless}
        return ReportReply(
            prune={claim: judgement.measurements[-1].step for claim, judgement in ended.items()},
            lost=batch.keys() - held,
        )

    def finish(
        self, claim: Claim, state: FinalState, value: float | None, user_attrs: Mapping[str, Any]
    ) -> None:
        """End one trial; see `finish_all`.

        Raises:
            LeaseLostError: it is another worker's now; nothing was written.
        """
        if self.finish_all({claim: Outcome(state=state, value=value, user_attrs=user_attrs)}):
            raise LeaseLostError(f"trial {claim.number} belongs to another worker now")

    def finish_all(self, endings: Mapping[Claim, Outcome]) -> set[Claim]:
        """End trials, all in one transaction.

        Telling again what was told already, because the storage was lost before it could answer,
        changes nothing.

        Returns:
            Those that are another worker's now; nothing was written of them.
        """

        def write(connection: Connection) -> set[Claim]:
            leases.tick(connection, self._id)
            touched = leases.touch(connection, endings.keys())
            held = {own.trial_id: end for own, end in endings.items() if own.trial_id in touched}
            ledger.finish(connection, held)
            return {
                claim
                for claim, ending in endings.items()
                if claim.trial_id not in touched
                and not ledger.has_ended(connection, claim, ending.state)
            }

        lost = self.storage.write(write)
        for claim in endings:
            self._judge.forget(claim)
        self.storage.reader.invalidate(self._id)
        return lost

    def release(self, *claims: Lease, how: str = RELEASED) -> None:
        """Give trials back: each waits under its number, with its params, for the next worker.

        Args:
            claims: the worker's right to do so; one that was lost is passed over.
            how: the attempts ended; other than by `RELEASED` they count as workers that were lost.
        """

        def write(connection: Connection) -> None:
            leases.tick(connection, self._id)
            if touched := leases.touch(connection, claims):
                n_max = self.settings(connection).budget.max_attempts
                for own in sorted(touched):
                    ledger.give_back(connection, own, how, n_max)

        if claims:
            self.storage.write(write)
        for claim in claims:
            self._judge.forget(claim)

    def renew(self, held: Collection[Lease], lease: float) -> set[str]:
        """Renew leases; returns the tokens of those that are lost. Any thread may call it."""

        def write(connection: Connection) -> set[int]:
            if leases.has_run_out(connection, held):
                leases.tick(connection, self._id)
            return leases.touch(connection, held, lease)

        kept = self.storage.write(write)
        return {own.token for own in held if own.trial_id not in kept}

    def enqueue(self, params: Params) -> int:
        """Queue a trial with these params; the others are sampled when it is claimed.

        Returns:
            Its number.

        Raises:
            InputError: an unknown param, a value outside its range, or a param that may have no
                place in the trial.
            BudgetError: the budget has no room for it.
        """
        self.definition.space.check_params(params)
        self.definition.space.check_active(params)

        def write(connection: Connection) -> int:
            ledger.lock_study(connection, self._id)
            n_trials = self.settings(connection).budget.n_trials
            if (number := ledger.count_trials(connection, self._id)) >= n_trials:
                raise BudgetError(
                    f"study {self.name} has all of its budget's {n_trials} trials: "
                    f"hpo extend {self.name} --n-trials +1 makes room for another"
                )
            ledger.add_trial(connection, self._id, number, params)
            return number

        return self.storage.write(write)

    def extend(self, budget: Budget) -> None:
        """Raise the budget to that of a study file; see `raise_by_file`.

        Raises:
            BudgetError: it is lower than the study's.
        """

        def write(connection: Connection) -> StudyDefinition:
            ledger.lock_study(connection, self._id)
            settings = self.settings(connection)
            return raise_by_file(connection, self._id, self.definition, settings, budget)

        self.definition = self.storage.write(write)

    def progress(self, trend: Trend | None = None) -> StudyStatus:
        """Budget, trials by state, best value and workers, as they are now.

        Args:
            trend: brought up to date as well; whoever looks again passes it again.

        Raises:
            StudyNotFoundError: the study was deleted.
        """
        with self._reading(), self.storage.read() as connection:
            settings = self.settings(connection)
            definition = replace(self.definition, budget=settings.budget)
            status = read_status(connection, self._id, definition, settings.standing, trend)
            status = replace(status, notes=self.notes)
            n_there = sum(status.counts.values())
            if self._tried is None or self._tried.n_more(connection, n_there, 1):
                return status
        return replace(status, n_points=self.n_points)

    def trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The trials by number, whole and as they are now."""
        with self._reading(), self.storage.read() as connection:
            return read_study(connection, self._id, states)

    def inventory(self) -> dict[int, TrialFiles]:
        """What the trials, by number, name in the artifact store now."""
        with self.storage.read() as connection:
            return read_inventory(connection, self._id)

    def check_store(self, store_id: str) -> None:
        """Make sure that an artifact store is the study's.

        Raises:
            InputError: it is another one.
        """
        check_store(self.name, self.artifact_store_id, store_id)

    def settings(self, connection: Connection) -> Settings:
        """Budget and standing as they are now.

        Raises:
            StudyNotFoundError: the study was deleted, and SQLite may have given its id to another,
                or it moved to another storage.
        """
        keys = (DEFINITION, UUID, STANDING, GIVEN)
        attrs = attributes.read_study(connection, self._id, keys)
        if attrs.get(UUID) != self.uuid or DEFINITION not in attrs:
            self.storage.reader.forget(self._id)
            raise self._gone()
        return Settings.from_attrs(attrs)

    @property
    def n_points(self) -> int | None:
        """How many points its search space has; None where they are without end."""
        return None if self._tried is None else self._tried.points.n

    @cached_property
    def _tried(self) -> TriedPoints | None:
        return TriedPoints.of(self.definition.space, self.storage.reader, self._id)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.definition, self._optuna, self.storage.reader)

    @cached_property
    def _param_sampler(self) -> ParamSampler:
        return ParamSampler(self._optuna, self.storage.reader, self._tried)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What Optuna's side of the storage raises, in our words."""
        try:
            with self.storage.errors():
                yield
        except KeyError as error:
            raise self._gone() if error.args == (NOT_FOUND,) else error from error

    def _gone(self) -> StudyNotFoundError:
        return StudyNotFoundError(f"study {self.name} is no longer in {self.storage.safe_url}")

    @cached_property
    def _optuna(self) -> optuna.Study:
        """The study as Optuna's samplers and pruners see it; those named here are never asked."""
        unused = optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()
        return optuna.Study(self.name, self.storage.reader, *unused)


def check_store(name: str, own: str, given: str) -> None:
    """Make sure that an artifact store, by its id, is a study's own.

    Raises:
        InputError: it is another one.
    """
    if given != own:
        raise InputError(
            f"study {name} keeps its artifacts in another store: name the one it was "
            "created with by --artifacts or HPO_ARTIFACTS"
        )
