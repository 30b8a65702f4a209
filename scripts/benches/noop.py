"""Workers with a free objective: one with hpo, one with plain Optuna.

Both draw the same six params, report the same 20 values one by one, ask the same median pruner
after each, and finish. All trials have equal values, so that none is pruned.

Does not import torch: 64 of these processes start at once.
"""

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Protocol

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import MedianPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from hpo.config.definition import StudyDefinition
from hpo.config.parsing import validate
from hpo.config.strategies import Sampler
from hpo.config.trial import Measurement
from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study, open_study
from hpo.study.claim import Claim
from tests.support.gate import Gate

NAME = "bench"
STEPS = range(1, 21)
STARTUP_TRIALS, WARMUP_STEPS = 5, 5
LEASE = 600.0
SPACE = {
    "model": {
        "depth": {"type": "int", "low": 1, "high": 6},
        "width": {"type": "int", "low": 64, "high": 512, "step": 64},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    },
    "optimizer": {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "weight_decay": {"type": "float", "low": 1e-6, "high": 1e-2, "log": True},
        "momentum": {"type": "float", "low": 0.8, "high": 0.99},
    },
}


def value_at(step: int) -> float:
    """The value of every trial at a step."""
    return 1 / step


class Driver(Protocol):
    """One trial at a time, call by call."""

    def ask(self) -> None:
        """Begin a trial, with its params."""

    def report(self, step: int) -> None:
        """Report the step's value and ask the pruner."""

    def finish(self) -> None:
        """Complete the trial."""


class HpoDriver:
    """Drives `hpo.study.study.Study` as the worker loop does."""

    def __init__(self, url: str, sampler: str = "random") -> None:
        """Open the study with a sampler."""
        self.study = open_study(open_storage(url), NAME)
        found = validate(Sampler, {"name": sampler}, "the bench")
        self.study.definition = replace(self.study.definition, sampler=found)
        self._worker = WorkerId(host="bench", pid=os.getpid(), device="none")
        self._claim: Claim

    def ask(self) -> None:
        """Begin a trial, with its params."""
        claim = self.study.ask(self._worker, LEASE)
        assert claim is not None
        self._claim = claim

    def report(self, step: int) -> None:
        """Report the step's value and ask the pruner."""
        measured = [Measurement(step=step, value=value_at(step))]
        reply = self.study.report({self._claim: measured})
        assert not reply.lost

    def finish(self) -> None:
        """Complete the trial."""
        self.study.finish(self._claim, "COMPLETE", value_at(STEPS[-1]), {})


class PlainDriver:
    """Drives Optuna's ask and tell."""

    def __init__(self, url: str, sampler: str = "random") -> None:
        """Open the study with a sampler."""
        self.study = _load_plain(url, plain_tpe() if sampler == "tpe" else RandomSampler())
        self._trial: optuna.Trial

    def ask(self) -> None:
        """Begin a trial, with its params."""
        self._trial = self.study.ask()
        suggest(self._trial)

    def report(self, step: int) -> None:
        """Report the step's value and ask the pruner."""
        self._trial.report(value_at(step), step)
        self._trial.should_prune()

    def finish(self) -> None:
        """Complete the trial."""
        self.study.tell(self._trial, value_at(STEPS[-1]))


def create_hpo(url: str) -> None:
    """Create hpo's study."""
    tree = {
        "name": NAME,
        "search_space": SPACE,
        "data": {"source": "/t.csv", "target": "y", "task": "regression", "fingerprint": "f"},
        "objective": {"metric": "rmse"},
        "sampler": {"name": "random"},
        "pruner": {
            "name": "median",
            "n_startup_trials": STARTUP_TRIALS,
            "n_warmup_steps": WARMUP_STEPS,
        },
        "budget": {"n_trials": 10_000_000},
    }
    storage = open_storage(url)
    create_study(storage, StudyDefinition.from_tree(tree, "bench", Path()), "store")
    storage.close()


def create_plain(url: str) -> None:
    """Create plain Optuna's study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study(study_name=NAME, storage=url, direction="minimize")


def work(gate: Gate, system: str, url: str, errors: SimpleQueue[str]) -> None:
    """Run trials forever once the gate opens; report the error that ends the process."""
    try:
        SYSTEMS[system].work(url, gate)
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        errors.put(f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}")
        sys.exit(1)


def work_hpo(url: str, gate: Gate) -> None:
    """Run trials forever."""
    driver = HpoDriver(url)
    gate.wait()
    while True:
        driver.ask()
        for step in STEPS:
            driver.report(step)
        driver.finish()


def work_plain(url: str, gate: Gate) -> None:
    """Run trials forever with `study.optimize`."""
    study = _load_plain(url, RandomSampler())
    gate.wait()
    study.optimize(_objective)


@dataclass(frozen=True, kw_only=True)
class System:
    """How to create a study, work for it forever, and drive it call by call with a sampler."""

    create: Callable[[str], None]
    work: Callable[[str, Gate], None]
    open: Callable[[str, str], Driver]


SYSTEMS = {
    "hpo": System(create=create_hpo, work=work_hpo, open=HpoDriver),
    "Optuna": System(create=create_plain, work=work_plain, open=PlainDriver),
}


def _load_plain(url: str, sampler: BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=WARMUP_STEPS)
    return optuna.load_study(study_name=NAME, storage=url, sampler=sampler, pruner=pruner)


def plain_tpe() -> TPESampler:
    """TPE with the settings of hpo's `tpe`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(n_startup_trials=20, multivariate=True, group=True, constant_liar=True)


def _objective(trial: optuna.Trial) -> float:
    suggest(trial)
    for step in STEPS:
        trial.report(value_at(step), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value_at(STEPS[-1])


def suggest(trial: optuna.Trial) -> None:
    """Draw the six params."""
    trial.suggest_int("model.depth", 1, 6)
    trial.suggest_int("model.width", 64, 512, step=64)
    trial.suggest_float("model.dropout", 0.0, 0.5)
    trial.suggest_float("optimizer.learning_rate", 1e-4, 1e-2, log=True)
    trial.suggest_float("optimizer.weight_decay", 1e-6, 1e-2, log=True)
    trial.suggest_float("optimizer.momentum", 0.8, 0.99)
