"""How many of the best trials a pruner would have ended, with learning-rate schedules.

    scripts/bench pruned [STUDY.toml ...]

Random configurations with different schedules and planned epochs are trained to their end. Their
curves are then shown in random orders to the study's pruner and to Optuna's of the same settings,
which compares equal epochs whatever the schedule. Each line counts, on the average of the orders,
how many of the five trials with the best final values are pruned, and the share of all epochs
that are not trained.
"""

import argparse
import json
import math
import random
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import optuna
from benches.throughput import chooser
from optuna.distributions import CategoricalDistribution
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.config.definition import StudyDefinition, load_definition
from hpo.config.space import Params, SearchSpace
from hpo.data.table import read_table
from hpo.data.target import resolve_task
from hpo.models.experiment import Experiment
from hpo.storage.engine import Storage, open_storage
from hpo.study.pruning import make_pruner
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Progress, Run

STUDIES = [
    Path(__file__).parents[2] / "studies" / f"{name}.toml"
    for name in ("california_housing", "adult")
]
PLAN = {
    "training.schedule": ("constant", "cosine", "flat_cosine", "coslog4"),
    "training.max_epochs": (10, 20, 40),
}
SPACE = {
    "model": {
        "depth": {"type": "int", "low": 1, "high": 3},
        "width": {"type": "int", "low": 64, "high": 256, "step": 64},
        "dropout": {"type": "float", "low": 0.0, "high": 0.3},
    },
    "optimizer": {
        "learning_rate": {"type": "float", "low": 3e-4, "high": 1e-2, "log": True},
        "weight_decay": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    },
    "training": {
        name.split(".")[1]: {"type": "categorical", "choices": choices}
        for name, choices in PLAN.items()
    },
}
N_BEST = 5
N_ORDERS = 20
Curve = tuple[Params, list[float]]


class Score(NamedTuple):
    """What a pruner does to a study, on the average of the orders.

    Attributes:
        n_pruned: of the trials with the best final values.
        saved: the share of all epochs that are not trained.
    """

    n_pruned: float
    saved: float


def main(argv: list[str]) -> None:
    """Train, replay and print a line for each study and pruner."""
    parser = argparse.ArgumentParser(prog="scripts/bench pruned", description=__doc__)
    parser.add_argument("studies", nargs="*", type=Path, default=STUDIES)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--curves", type=Path, help="folder that keeps the curves of a study")
    options = parser.parse_args(argv)
    for path in options.studies:
        definition = load_definition(path)
        kept = options.curves and options.curves / f"{definition.name}.json"
        definition = StudyDefinition(
            **{**vars(definition), "space": SearchSpace.from_tree(SPACE, "bench")}
        )
        if kept and kept.exists():
            curves = json.loads(kept.read_text())
        else:
            curves = train(definition, path.parent, options.trials)
            if kept:
                kept.write_text(json.dumps(curves))
        for name, is_ours in (("hpo", True), ("Optuna's median pruner", False)):
            score = replay(definition, curves, is_ours=is_ours)
            print(
                f"{definition.name}: {name}: {score.n_pruned:.2f} of {N_BEST} pruned, "
                f"{score.saved:.0%} of the epochs saved"
            )


def train(definition: StudyDefinition, folder: Path, n_trials: int) -> list[Curve]:
    """The validation curves of random configurations."""
    table = read_table(definition.data, folder)
    task = resolve_task(table, definition.data)
    definition = definition.resolved(
        source="", task=task, fingerprint=table.fingerprint(), where=definition.name
    )
    experiment, curves, generator = Experiment(table, definition.data), [], random.Random(0)
    for number in range(n_trials):
        params = definition.space.walk(chooser(generator))
        config = definition.trial_config(params)
        _, data = experiment.prepared(config.preprocessing)
        trainer = SingleTrainer("cpu")
        trainer.admit(Run(key=number, config=config, data=data))
        values: list[float] = []
        for event in trainer.advance(math.inf):
            if isinstance(event, Progress):
                values += [measured.value for measured in event.measurements]
        curves.append((params, values))
    return curves


def replay(definition: StudyDefinition, curves: Sequence[Curve], *, is_ours: bool) -> Score:
    """Show the curves to a pruner, in several orders.

    Args:
        definition: of the study.
        curves: of trials that were not pruned.
        is_ours: ask the study's pruner; otherwise Optuna's median pruner of the same settings.
    """
    best = definition.direction.best
    best_first = sorted(curves, key=lambda curve: definition.direction.sign * best(curve[1]))
    leaders = [id(curve) for curve in best_first[:N_BEST]]
    n_pruned = n_trained = 0
    for seed in range(N_ORDERS):
        order = random.Random(seed).sample(curves, len(curves))
        with tempfile.TemporaryDirectory() as folder, closing(_storage(folder)) as storage:
            plain = optuna.create_study(storage=storage.plain, direction=definition.direction)
            study = optuna.load_study(study_name=plain.study_name, storage=storage.reader)
            pruner = make_pruner(definition, storage.reader)
            if not is_ours:
                settings = definition.pruner.model_dump(exclude={"name"})
                study, pruner = plain, optuna.pruners.MedianPruner(**settings)
            for curve in order:
                storage.reader.invalidate(study._study_id)
                n_epochs = _n_epochs(pruner, study, *curve)
                n_trained += n_epochs
                if n_epochs == len(curve[1]):
                    plain.add_trial(_trial(TrialState.COMPLETE, *curve))
                else:
                    n_pruned += id(curve) in leaders
    n_all = N_ORDERS * sum(len(values) for _, values in curves)
    return Score(n_pruned / N_ORDERS, 1 - n_trained / n_all)


def _n_epochs(
    pruner: BasePruner, study: optuna.Study, params: Params, values: Sequence[float]
) -> int:
    """Epochs until the pruner ends the trial, or all of them."""
    for n in range(1, len(values)):
        if pruner.prune(study, _trial(TrialState.RUNNING, params, values[:n])):
            return n
    return len(values)


def _trial(state: TrialState, params: Params, values: Sequence[float]) -> FrozenTrial:
    return create_trial(
        state=state,
        value=values[-1] if state == TrialState.COMPLETE else None,
        params={name: params[name] for name in PLAN},
        distributions={name: CategoricalDistribution(choices) for name, choices in PLAN.items()},
        intermediate_values=dict(enumerate(values, start=1)),
    )


def _storage(folder: str) -> Storage:
    return open_storage(f"sqlite:///{folder}/hpo.db")
