"""Measures where a worker's time goes, by wrapping the methods that it calls."""

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from hpo.models.experiment import Experiment
from hpo.study.study import Study
from hpo.training.trainer import Trainer
from hpo.worker.claims import Claimer
from hpo.worker.job import Job
from hpo.worker.outbox import Outbox

METHODS: list[tuple[type, str, str]] = [
    (Study, "claim", "ask"),
    (Study, "draw", "ask"),
    (Study, "report", "report"),
    (Study, "finish_all", "tell"),
    (Job, "complete", "save"),
    (Outbox, "_save", "save"),
    (Outbox, "save_checkpoints", "checkpoint"),
    (Claimer, "_load", "prepare"),
    (Experiment, "prepared", "prepare"),
    (Claimer, "_latest_checkpoint", "resume"),
]
"""Class, method, activity."""


class Stopwatch:
    """Wall time of this process's worker.

    Attributes:
        seconds: by activity.
    """

    def __init__(self, trainer: Trainer) -> None:
        """Time the worker's methods and its trainer from now on."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        for owner, method, activity in [*METHODS, (type(trainer), "advance", "train")]:
            setattr(owner, method, self._timed(getattr(owner, method), activity))

    def _timed(self, method: Callable[..., Any], activity: str) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds[activity] += time.perf_counter() - start

        return timed
