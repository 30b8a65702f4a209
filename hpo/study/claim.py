"""Claimed trials, and the reply to their reports."""

from dataclasses import dataclass, field

from hpo.config.space import Params
from hpo.storage.leases import Lease


@dataclass(frozen=True, kw_only=True)
class Claim(Lease):
    """A lease on a trial and the params drawn for it."""

    params: Params = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class ReportReply:
    """The result of a report.

    Attributes:
        prune: trials to prune, with the epoch of the decision; later epochs were not written.
        lost: trials whose lease was lost.
    """

    prune: dict[Claim, int]
    lost: set[Claim]
