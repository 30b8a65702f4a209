"""Latency of a worker's single calls in a study with a long history."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import optuna
import sqlalchemy as sa
from benches.history import DISTRIBUTIONS, add_finished, add_running, draw_params
from benches.noop import STEPS, SYSTEMS, Driver, plain_tpe, suggest
from optuna.trial import TrialState

N_RUNNING = 64
N_TPE = 4


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Content of a study."""

    n_finished: int
    n_abandoned: int = 0

    @property
    def labels(self) -> tuple[str, str]:
        """Finished and RUNNING trials, as labels of a table."""
        abandoned = f" + {self.n_abandoned:,} abandoned" if self.n_abandoned else ""
        return f"{self.n_finished:,}", f"{N_RUNNING}{abandoned}"


@dataclass(kw_only=True)
class Timings:
    """Durations of calls in milliseconds."""

    all: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median."""
        return self._quantile(0.5)

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return self._quantile(0.95)

    def time(self, call: Callable[[], None]) -> None:
        """Time a call."""
        start = time.perf_counter()
        call()
        self.all.append(1000 * (time.perf_counter() - start))

    def _quantile(self, share: float) -> float:
        return sorted(self.all)[min(len(self.all) - 1, int(share * len(self.all)))]


def measure_calls(
    system: str, url: str, scenes: Sequence[Scene], seconds: float
) -> Iterator[dict[str, Timings]]:
    """Build up the scenes in a new study, and time a worker's calls by name in each.

    Each scene contains the previous one and the few trials that ran in it.
    """
    SYSTEMS[system].create(url)
    leased = system == "hpo"
    with writing(url) as connection:
        add_running(connection, N_RUNNING - 1, alive=True, leased=leased)
    before = Scene(n_finished=0)
    for scene in scenes:
        with writing(url) as connection:
            add_finished(connection, scene.n_finished - before.n_finished)
            n_abandoned = scene.n_abandoned - before.n_abandoned
            add_running(connection, n_abandoned, alive=False, leased=leased)
        before = scene
        timings = run_trials(SYSTEMS[system].open(url, "random"), seconds)
        tpe = SYSTEMS[system].open(url, "tpe")
        tpe.ask()  # reads the whole history once
        tpe.finish()
        timings["ask, TPE"] = Timings()
        for _ in range(N_TPE):
            timings["ask, TPE"].time(tpe.ask)
            tpe.finish()
        yield timings


def tpe_alone(n_finished: int) -> Timings:
    """The sampler's own time to draw params, with the trials in memory."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    generator = random.Random(0)
    study = optuna.create_study(sampler=plain_tpe())
    states = [TrialState.COMPLETE] * n_finished + [TrialState.RUNNING] * (N_RUNNING - 1)
    study.add_trials(
        optuna.trial.create_trial(
            state=state,
            params=draw_params(generator),
            distributions=DISTRIBUTIONS,
            value=generator.random() if state is TrialState.COMPLETE else None,
        )
        for state in states
    )
    asks = Timings()
    for _ in range(N_TPE):
        trial = study.ask()
        asks.time(lambda trial=trial: suggest(trial))
        study.tell(trial, generator.random())
    return asks


@contextmanager
def writing(url: str) -> Iterator[sa.Connection]:
    """A transaction, followed by ANALYZE, as autovacuum would run it."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        yield connection
    if engine.dialect.name == "postgresql":
        with engine.begin() as connection:
            connection.execute(sa.text("ANALYZE"))


def run_trials(driver: Driver, seconds: float) -> dict[str, Timings]:
    """Run trials one by one; the first trial, which reads the history, is not timed."""
    timings = {name: Timings() for name in ("report", "ask", "finish")}
    driver.ask()
    driver.report(STEPS[0])
    driver.finish()
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        timings["ask"].time(driver.ask)
        for step in STEPS:
            if time.perf_counter() < deadline:
                timings["report"].time(lambda step=step: driver.report(step))
        timings["finish"].time(driver.finish)
    return timings
