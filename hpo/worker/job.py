"""A job: a trial in a worker's hands, and what of it the storage does not know yet."""

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from hpo.config.trial import Measurement
from hpo.files.store import trial_path
from hpo.storage.ledger import FinalState, Outcome
from hpo.study.study import Claim, Study
from hpo.training import Result, Run

MAX_LINES = 200
"""Lines of a trial's log that are kept."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trial ended, to be told.

    Attributes:
        state: WAITING where there was no place for it, and it goes back to its study.
        attrs: what else to keep of it; plain JSON.
        weights: the model's file, to be made durable before the trial is told.
    """

    state: FinalState | Literal["WAITING"]
    attrs: dict[str, Any] = field(default_factory=dict)
    weights: bytes | None = None


@dataclass(kw_only=True, eq=False)
class Job:
    """A trial in progress, or at its end.

    Attributes:
        best: the best that it measured, as far as the pruner let it go.
        reports: measured, and not yet reported.
        is_placed: whether the trainer took it.
        result: of a training that came to its end.
        ending: set when it is known how the trial ends, until it is told.
        kept_at: `time.monotonic()` of the last checkpoint, or of the start.
        is_kept: whether there may be a checkpoint of it in the store.
        n_chances: workers that it may yet cost; without end where it has cost none so far.
        lines: the end of its log.
    """

    claim: Claim
    study: Study
    run: Run
    best: Measurement | None = None
    reports: list[Measurement] = field(default_factory=list)
    is_placed: bool = False
    result: Result | None = None
    ending: Ending | None = None
    kept_at: float = field(default_factory=time.monotonic)
    is_kept: bool = False
    n_chances: float = math.inf
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LINES))

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to train of it."""
        return self.result is not None or self.ending is not None

    @property
    def is_training(self) -> bool:
        """Whether the trainer has it, and it goes on."""
        return self.is_placed and not self.is_over

    @property
    def is_refused(self) -> bool:
        """Whether there was no place for it, and it goes back to its study."""
        return self.ending is not None and self.ending.state == "WAITING"

    def note(self, measurements: Sequence[Measurement]) -> None:
        """Remember the best of these and of those before."""
        sign = self.study.definition.direction.sign
        seen = [*([self.best] if self.best else []), *measurements]
        self.best = min(seen, key=lambda each: sign * each.value, default=None)

    def log(self, line: str) -> None:
        """Add a line to the trial's log."""
        self.lines.append(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}")

    def outcome(self, attrs: Mapping[str, Any]) -> Outcome:
        """What to tell of its end, with further attributes."""
        assert self.ending is not None
        assert self.ending.state != "WAITING"
        is_failed = self.ending.state == "FAIL"
        value = None if is_failed or self.best is None else self.best.value
        attrs = {**self.ending.attrs, **attrs}
        return Outcome(state=self.ending.state, value=value, user_attrs=attrs)

    def path(self, name: str) -> str:
        """Where this attempt keeps a file in the artifact store."""
        return trial_path(self.study.uuid, self.claim.number, self.claim.attempt, name)
