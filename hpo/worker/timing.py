"""How long a worker waits for what."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Time limits of a worker, in seconds.

    Attributes:
        lease: silence after which a worker loses its trials.
        checkpoint: time between two checkpoints of a trial.
        outage: how long the storage or the artifact store may be away.
        hang: how long a slice may take before the process is killed.
    """

    lease: float = 60.0
    checkpoint: float = 60.0
    outage: float = 600.0
    hang: float = 600.0
