"""What single calls cost a worker, in a study that has run for long."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import optuna
import sqlalchemy as sa
from benches.history import DISTRIBUTIONS, add_finished, add_running, draw_params
from benches.noop import STEPS, SYSTEMS, Driver, plain_tpe, suggest
from optuna.trial import TrialState

N_RUNNING = 64
N_TPE = 6


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a study holds when a worker comes to it."""

    n_finished: int
    n_abandoned: int = 0

    @property
    def labels(self) -> tuple[str, str]:
        """Finished and RUNNING, as a table shows them."""
        abandoned = f" + {self.n_abandoned:,} abandoned" if self.n_abandoned else ""
        return f"{self.n_finished:,}", f"{N_RUNNING}{abandoned}"


@dataclass(kw_only=True)
class Timings:
    """Milliseconds that calls took."""

    all: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one."""
        return self._quantile(0.5)

    @property
    def p95(self) -> float:
        """The one that 19 in 20 stay below."""
        return self._quantile(0.95)

    def time(self, call: Callable[[], None]) -> None:
        """Make a call."""
        start = time.perf_counter()
        call()
        self.all.append(1000 * (time.perf_counter() - start))

    def _quantile(self, share: float) -> float:
        return sorted(self.all)[min(len(self.all) - 1, int(share * len(self.all)))]


def measure_calls(system: str, url: str, scene: Scene, seconds: float) -> dict[str, Timings]:
    """Set the scene, run trials in it for some seconds, and time their calls by name."""
    SYSTEMS[system].create(url)
    fill(url, scene, leased=system == "hpo")
    driver = SYSTEMS[system].open(url, "random")
    at_random = run_trials(driver, seconds)
    tpe = SYSTEMS[system].open(url, "tpe")
    tpe.ask()  # reads the whole history once
    tpe.finish()
    asks = Timings()
    for _ in range(N_TPE):
        asks.time(tpe.ask)
        tpe.finish()
    return {**at_random, "ask, TPE": asks}


def tpe_alone(n_finished: int) -> Timings:
    """The sampler's own time for a trial's params, with its trials in memory."""
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


def fill(url: str, scene: Scene, *, leased: bool) -> None:
    """Write the scene's trials; the worker that is measured runs the last of the 64."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        add_finished(connection, scene.n_finished)
        add_running(connection, scene.n_abandoned, alive=False, leased=leased)
        add_running(connection, N_RUNNING - 1, alive=True, leased=leased)
        if engine.dialect.name == "postgresql":  # as autovacuum does in time
            connection.execute(sa.text("ANALYZE"))


def run_trials(driver: Driver, seconds: float) -> dict[str, Timings]:
    """Run trials one after the other; the first call, which reads the history, is not timed."""
    timings = {name: Timings() for name in ("report", "ask", "finish")}
    driver.ask()
    driver.report(STEPS[0])
    driver.finish()
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        timings["ask"].time(driver.ask)
        for step in STEPS:
            timings["report"].time(lambda step=step: driver.report(step))
        timings["finish"].time(driver.finish)
    return timings
