"""Searches of a table, as studies in one storage; a study that is there is continued."""

import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from portfolios.tables import TARGET, load_table

from hpo.config.definition import StudyDefinition, load_search_space
from hpo.config.ranges import FloatRange
from hpo.config.space import Params, SearchSpace
from hpo.data.sources import RawTable
from hpo.data.table import typed_table
from hpo.launch.in_process import search_in_process
from hpo.lifecycle.creation import create
from hpo.lifecycle.draft import suited_batch_size

MAX_EPOCHS = 40
"""Maximum number of epochs where the search space has none."""
N_DIGITS = 2
"""Significant digits of a candidate's real numbers."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Params and the validation loss of a trial; infinite if it failed."""

    params: Params
    loss: float


@dataclass(frozen=True, kw_only=True)
class Searched:
    """The trials of a table's searches.

    Attributes:
        random: the default configuration, then random draws.
        tpe: the default configuration, then the draws of TPE, which knows the random ones.
    """

    random: Sequence[Trial]
    tpe: Sequence[Trial]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is searched.

    Attributes:
        space: name or path of the search space.
        folder: folder of the storage.
        n_trials: random draws on a table; TPE draws half as many.
        n_rows: maximum number of rows of a table.
        max_epochs: maximum number of epochs of every trial; None: as the search space has it, or
            `MAX_EPOCHS` if it has none.
    """

    space: str
    folder: Path
    n_trials: int
    n_rows: int
    max_epochs: int | None

    def load_space(self) -> SearchSpace:
        """The search space without starts of its own."""
        return replace(load_search_space(self.space, "--space", Path()), starts=())


def search(setup: Setup, table: str) -> Searched:
    """Search a table: random draws, then TPE."""
    seed = zlib.crc32(table.encode()) % 2**31  # other draws on each table, for more candidates
    sampler: dict[str, Any] = {"name": "random", "seed": seed}
    name, random = _run(setup, table, "random", setup.load_space(), setup.n_trials, sampler)
    sampler = {"name": "tpe", "seed": seed, "warm_start": [name]}
    _, tpe = _run(setup, table, "tpe", setup.load_space(), 1 + setup.n_trials // 2, sampler)
    return Searched(random=random, tpe=tpe)


def evaluate(setup: Setup, table: str, candidates: Sequence[Params]) -> list[Trial]:
    """Train the default configuration, then the candidates, to their end on a table."""
    space = replace(setup.load_space(), starts=tuple(candidates))
    sampler, pruner = {"name": "random"}, {"name": "none"}
    n_trials = 1 + len(candidates)
    return _run(setup, table, "candidates", space, n_trials, sampler, pruner)[1]


def best_candidates(setup: Setup, searched: Searched, n: int) -> list[Params]:
    """The best configurations of a table's searches, without surplus digits."""
    space = setup.load_space()
    found: list[Params] = []
    for trial in sorted((*searched.random, *searched.tpe), key=lambda trial: trial.loss):
        params = _rounded(trial.params, space)
        if params not in (*found, space.default_params()):
            found.append(params)
    return found[:n]


def _rounded(params: Params, space: SearchSpace) -> Params:
    leaves, rounded = space.params(), dict(params)
    for name, value in params.items():
        leaf = leaves[name]
        if isinstance(leaf, FloatRange) and leaf.step is None:
            short = float(f"{value:.{N_DIGITS}g}")
            rounded[name] = short if leaf.admits(short) else value
    return rounded


def _run(
    setup: Setup,
    table: str,
    kind: str,
    space: SearchSpace,
    n_trials: int,
    sampler: dict[str, Any],
    pruner: dict[str, Any] | None = None,
) -> tuple[str, list[Trial]]:
    """Search until the budget is used up; return the study's name and its trials by number."""
    frame, task = load_table(table, setup.n_rows)
    constants = {"max_epochs": MAX_EPOCHS, "batch_size": suited_batch_size(frame.height)}
    in_space = {**space.constants, **space.tunables}
    constants = {key: n for key, n in constants.items() if f"training.{key}" not in in_space}
    if setup.max_epochs is not None:
        constants["max_epochs"] = setup.max_epochs
    said = json.dumps([space.to_tree(), constants, setup.n_rows], sort_keys=True)
    name = f"{table}-{kind}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
    tree = {
        "name": name,
        "search_space": space.to_tree(),
        "data": {
            "source": table,
            "target": TARGET,
            "task": task,
            "split": {"val": 0.35, "test": 0},
        },
        "objective": {"metric": "rmse" if task == "regression" else "log_loss"},
        "training": constants,
        "sampler": sampler,
        "pruner": pruner or {"name": "median"},
        "budget": {"n_trials": n_trials},
    }
    definition = StudyDefinition.from_tree(tree, table, Path())
    raw = RawTable(frame=frame, is_text=False, where=table)
    typed = typed_table(raw, definition.data)
    storage, artifacts = f"sqlite:///{setup.folder}/hpo.db", str(setup.folder / "artifacts")
    created = create(definition, typed, storage, artifacts, where=table)
    with closing(created.study.storage):
        search_in_process(created, torch.device("cpu"))
        trials = created.study.trials()
    losses = [math.inf if trial.value is None else trial.value for trial in trials]
    return name, [
        Trial(params=trial.params, loss=loss) for trial, loss in zip(trials, losses, strict=True)
    ]
