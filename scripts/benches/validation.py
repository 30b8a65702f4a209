"""What a search promises on its validation part, and what its winner does on new rows.

    scripts/bench validation folds --seeds 10
    scripts/bench validation groups --seeds 5
    scripts/bench validation time --seeds 5

`folds` draws 300 rows with 20 columns and noisy labels of two classes, once for each seed. Searches
of the space `mlp_small` choose by accuracy, on one validation part or on folds. 20,000 rows are
new.

`groups` and `time` search on rows that depend on each other; the docstring of `benches.splits`
describes them.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from benches import splits
from benches.seeds import Outcome, Scenario, run
from numpy.typing import NDArray

from hpo.sklearn import MLPSearchClassifier

Rows = tuple[NDArray[np.float64], NDArray[np.int_]]

N_ROWS, N_NEW = 300, 20_000
N_COLUMNS = 20
N_TRIALS, N_FOLDS = 10, 5


def main(arguments: Sequence[str]) -> None:
    """Print the means of a scenario over seeds."""
    run("validation", __doc__, SCENARIOS, arguments)


def folds(seed: int) -> Iterator[tuple[str, Outcome]]:
    """One validation part and folds, on a small table of noisy labels."""
    generator = np.random.default_rng(seed)
    known, new = _noisy(N_ROWS, generator), _noisy(N_NEW, generator)
    searches = {
        "`val = 0.15`": {"val": 0.15},
        f"`val = 0.15`, {N_FOLDS * N_TRIALS} trials": {"n_trials": N_FOLDS * N_TRIALS},
        "`val = 0.15`, refitted": {"refit": True},
        f"`folds = {N_FOLDS}`": {"folds": N_FOLDS},
    }
    for name, changes in searches.items():
        yield name, _searched(seed, known, new, **changes)


SCENARIOS: dict[str, Scenario] = {"folds": folds, "groups": splits.groups, "time": splits.time}


def _noisy(n_rows: int, generator: np.random.Generator) -> Rows:
    """Rows whose label depends on four columns of many, and is wrong for one row in eight."""
    x = generator.normal(size=(n_rows, N_COLUMNS))
    scores = x[:, 0] + np.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3]
    is_wrong = generator.random(n_rows) < 1 / 8
    return x, ((scores > 0) ^ is_wrong).astype(int)


def _searched(seed: int, known: Rows, new: Rows, **changes: Any) -> Outcome:
    settings = {
        "search_space": "mlp_small",
        "n_trials": N_TRIALS,
        "max_epochs": 40,
        "ensemble": 0,
        "device": "cpu",
    }
    search = MLPSearchClassifier(**{**settings, "random_state": seed, **changes})
    started = time.process_time()
    search.fit(*known)
    seconds = time.process_time() - started
    promised, found = search.best_score_, search.score(*new)
    return {
        "promised": promised,
        "on new rows": found,
        "promised too much": promised - found,
        "seconds": seconds,
    }
