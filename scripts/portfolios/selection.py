"""Choose the configurations that are good together on all tables.

The regret of a loss on a table is 0 at the best known loss of that table, and 1 at the median of
its random draws or above. Portfolios are chosen greedily, as by Wistuba et al. 2015 ("Sequential
model-free hyperparameter tuning") and Feurer et al. 2022 (arXiv:2007.04074).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def regrets(losses: Floats, best: float, median: float) -> Floats:
    """Losses on a table as regrets from 0 to 1."""
    return np.clip((losses - best) / max(median - best, 1e-12), 0.0, 1.0)


def choose(matrix: Floats, n: int) -> list[int]:
    """Choose rows one by one, each for the lowest mean over the tables of the best regret so far.

    Args:
        matrix: regrets of shape (configurations, tables); row 0, the default, is always first.
        n: number of rows to choose besides row 0; fewer if no further row lowers the mean.

    Returns:
        Row indices in the order of the choice, without row 0.
    """
    chosen: list[int] = []
    reached = matrix[0]
    while len(chosen) < n:
        means = np.minimum(matrix, reached).mean(axis=1)
        row = int(means.argmin())
        if means[row] >= reached.mean():
            break
        chosen.append(row)
        reached = np.minimum(reached, matrix[row])
    return chosen


def regret_after(first: Floats, pool: Floats, k: int) -> float:
    """The expected best regret of k trials: the first ones in order, then draws from a pool.

    Args:
        first: regrets of the first trials, shape (trials,).
        pool: regrets of random draws, of which each set of k - len(first) is equally likely.
        k: number of trials.
    """
    reached = float(first[:k].min())
    n_drawn = k - len(first)
    if n_drawn <= 0:
        return reached
    ranked, n = np.sort(pool), len(pool)
    shares = [math.comb(n - 1 - rank, n_drawn - 1) / math.comb(n, n_drawn) for rank in range(n)]
    return float(np.dot(shares, np.minimum(ranked, reached)))


def left_out(
    matrix: Floats, owners: Sequence[int], pools: Sequence[Floats], n: int, ks: Sequence[int]
) -> Floats:
    """Regrets on each table with a portfolio that was chosen without it, and without portfolio.

    Args:
        matrix: regrets of shape (configurations, tables); row 0 is the default.
        owners: for each row, the table whose search found it; -1 for the default.
        pools: for each table, the regrets of its random draws.
        n: size of the portfolios.
        ks: numbers of trials.

    Returns:
        Shape (tables, 2, len(ks)): with the portfolio, and with the default and random draws.
    """
    found = np.empty((matrix.shape[1], 2, len(ks)))
    for table, pool in enumerate(pools):
        others = [row for row, owner in enumerate(owners) if owner != table]
        rest = np.delete(matrix[others], table, axis=1)
        rows = [0, *(others[row] for row in choose(rest, n))]
        for place, first in enumerate((matrix[rows, table], matrix[:1, table])):
            found[table, place] = [regret_after(first, pool, k) for k in ks]
    return found
