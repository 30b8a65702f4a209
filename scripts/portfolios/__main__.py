"""Compute starts for a search space: configurations that are good together on many tables.

Each table is searched at random, then by TPE. The best configurations of each search are trained on
all tables. The starts are chosen greedily: the best of the first k, with the default configuration,
has the lowest mean regret. The regrets on each table, with starts that were chosen without it, tell
what to expect on a new table.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tomli_w
from portfolios.selection import choose, left_out, regrets
from portfolios.tables import TABLES
from portfolios.trials import Searched, Setup, Trial, best_candidates, evaluate, search

from hpo.config.space import Params, SearchSpace, plain_params

KS = (5, 10, 20, 50)


def main(arguments: Sequence[str]) -> None:
    """Search, choose, and print the starts and their regrets."""
    parser = argparse.ArgumentParser(prog="scripts/portfolio", description=__doc__)
    parser.add_argument("--space", default="mlp", help="name of a search space, or its path")
    parser.add_argument("--n-trials", type=int, default=50, help="random draws on each table")
    parser.add_argument("--candidates", type=int, default=3, help="configurations of each table")
    parser.add_argument("--size", type=int, default=10, help="number of starts to choose")
    parser.add_argument("--rows", type=int, default=1200, help="maximum rows of a table")
    parser.add_argument("--max-epochs", type=int, help="epochs of a trial, instead of the space's")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--folder", type=Path, default=Path("portfolio"), help="where results go")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        space=options.space,
        folder=options.folder,
        n_trials=options.n_trials,
        n_rows=options.rows,
        max_epochs=options.max_epochs,
    )
    start = time.perf_counter()
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        searches = [pool.submit(search, setup, table) for table in options.tables]
        found = [each.result() for each in searches]
        candidates: list[Params] = []
        owners = [-1]
        for table, searched in enumerate(found):
            for params in best_candidates(setup, searched, options.candidates):
                if params not in candidates:
                    candidates.append(params)
                    owners.append(table)
        print(f"{len(candidates)} candidates after {time.perf_counter() - start:.0f} s", flush=True)
        trained = [pool.submit(evaluate, setup, table, candidates) for table in options.tables]
        evaluated = [each.result() for each in trained]
    print(f"all trained after {time.perf_counter() - start:.0f} s\n")
    report(setup.load_space(), options, found, evaluated, candidates, owners)


def report(
    space: SearchSpace,
    options: argparse.Namespace,
    found: Sequence[Searched],
    evaluated: Sequence[Sequence[Trial]],
    candidates: Sequence[Params],
    owners: Sequence[int],
) -> None:
    """Print the starts, and the regrets with and without them."""
    columns, pools = [], []
    for searched, trained in zip(found, evaluated, strict=True):
        pool = np.array([trial.loss for trial in searched.random[1:]])
        losses = np.array([trial.loss for trial in trained])
        tpe = [trial.loss for trial in searched.tpe]
        best, median = min(*pool, *losses, *tpe), float(np.median(pool))
        columns.append(regrets(losses, best, median))
        pools.append(regrets(pool, best, median))
    matrix = np.stack(columns, axis=1)
    chosen = choose(matrix, options.size)
    reached = matrix[0]
    print(f"# Mean regret of the default configuration: {reached.mean():.3f}")
    for row in chosen:
        reached = np.minimum(reached, matrix[row])
        print(f"\n# From {options.tables[owners[row]]}; mean regret so far {reached.mean():.3f}")
        print(start_table(candidates[row - 1], space))
    ks = [k for k in KS if k <= len(pools[0]) + 1]
    compared = left_out(matrix, owners, pools, options.size, ks)
    print("\nRegret after a number of trials, without / with starts chosen on the other tables:\n")
    print(f"{'':14}" + "".join(f"{k:>16}" for k in ks))
    named = dict(zip(options.tables, compared, strict=True)) | {"mean": compared.mean(axis=0)}
    for name, (own, today) in named.items():
        pairs = zip(today, own, strict=True)
        print(f"{name:14}" + "".join(f"{a:>8.3f} /{b:>6.3f}" for a, b in pairs))


def start_table(params: Params, space: SearchSpace) -> str:
    """The `[[start]]` table of a configuration: only what differs from the defaults."""
    given = plain_params(params)
    for path in list(given):
        rest = {other: value for other, value in given.items() if other != path}
        if space.completed(rest) == params:
            given = rest
    sections: dict[str, list[str]] = {}
    for path, value in given.items():
        section, name = path.split(".")
        sections.setdefault(section, []).append(tomli_w.dumps({name: value}).strip())
    lines = [f"{section} = {{ {', '.join(said)} }}" for section, said in sections.items()]
    return "\n".join(["[[start]]", *lines])


if __name__ == "__main__":
    main(sys.argv[1:])
