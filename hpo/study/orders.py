"""Orders: what a worker is to do with the trials that it holds, read every other second.

There is no coordinator. People and other workers write rows of the storage, and each worker reads
what has become of its trials.
"""

from collections.abc import Collection
from dataclasses import dataclass

from hpo.storage import leases, ledger
from hpo.storage.leases import Lease
from hpo.study.study import Study


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a worker is to do with the trials that it holds of a study.

    Attributes:
        goes_on: train them; otherwise checkpoint them and give them back to the study.
        counts_early: finish trials that have finished an epoch as COMPLETE with their best epoch:
            the study's time is up, and no trial was trained to its end.
        lost: leases that the worker no longer holds.
    """

    goes_on: bool
    counts_early: bool
    lost: frozenset[Lease]


def read_orders(study: Study, held: Collection[Lease]) -> Orders:
    """Read what a worker is to do with the trials that it holds; writes nothing.

    Raises:
        StudyNotFoundError: the study was deleted.
    """
    with study.read() as connection:
        row = study.read_row(connection)
        is_late = False
        if row.budget.is_timed:
            clock = leases.read_clock(connection, study.id)
            is_late = row.budget.is_out_of_time(clock.busy_seconds, clock.device_seconds)
        counts_early = is_late and not ledger.has_completed(connection, study.id)
        kept = leases.still_held(connection, held)
    lost = frozenset(own for own in held if own.trial_id not in kept)
    goes_on = row.standing == "open" and not is_late
    return Orders(goes_on=goes_on, counts_early=counts_early, lost=lost)


def was_pruned(study: Study, lease: Lease) -> bool:
    """Whether a trial whose lease was lost was pruned by a person, not taken by another worker."""
    with study.read() as connection:
        return ledger.has_ended(connection, lease, "PRUNED")
