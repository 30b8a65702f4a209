"""Ensemble selection by bagged greedy forward selection with replacement.

Greedy selection (Caruana et al. 2004, "Ensemble selection from libraries of models") starts with
the best models, repeatedly adds the model that improves the mean prediction most, and takes the
best ensemble found on the way. A model that is added twice has twice the weight.

Selection from many models overfits the rows that it is scored on. The remedies are the paper's.
Bagging: the weights are means over selections from random subsets of the models. Sorted
initialization: each selection starts with the mean of the best n models, for the n that scores
best.
"""

from collections.abc import Sequence

import numpy

from hpo.results.criteria import Array, Criterion

N_CANDIDATES = 50
"""Selection considers this many of the models that are best on their own."""
_N_BAGS = 10
_MIN_BAG = 12
"""A random half of fewer models may hold none that is good."""
_N_STEPS = 16
"""Models that a selection adds to those that it starts with."""


def select(criteria: Sequence[Criterion], size: int) -> Array:
    """Select the members of an ensemble.

    Args:
        criteria: of all candidates; a later one breaks ties of the earlier ones.
        size: maximum number of members, at least 1.

    Returns:
        (candidates,) weights that add up to 1; at most `size` are positive. Equal input gives equal
        weights. Of equal candidates the earlier one is preferred.
    """
    best = _ranked([each.alone() for each in criteria])[:N_CANDIDATES]
    weights = numpy.zeros(criteria[0].n_candidates)
    if size == 1:
        weights[best[0]] = 1.0
        return weights
    n_in_bag = max(min(_MIN_BAG, len(best)), (len(best) + 1) // 2)
    generator = numpy.random.default_rng(0)
    for _ in range(_N_BAGS):
        bag = best[numpy.sort(generator.choice(len(best), n_in_bag, replace=False))]
        weights[bag] += _select_greedily([each.among(bag) for each in criteria])
    weights[numpy.argsort(-weights, kind="stable")[size:]] = 0.0
    normalized: Array = weights / weights.sum()
    return normalized


def _select_greedily(criteria: Sequence[Criterion]) -> Array:
    """One selection from candidates that are sorted, the best first; returns their weights."""
    of_first = [each.means_of_first().alone() for each in criteria]
    n_first = int(_ranked(of_first)[0]) + 1
    best = tuple(scores[n_first - 1] for scores in of_first)
    counts = numpy.zeros(criteria[0].n_candidates)
    counts[:n_first] = 1
    chosen = counts.copy()
    totals = [each.values[:, :n_first].sum(axis=1) for each in criteria]
    for n in range(n_first + 1, n_first + _N_STEPS + 1):
        scores = [each.score(total, n) for each, total in zip(criteria, totals, strict=True)]
        added = _ranked(scores)[0]
        counts[added] += 1
        totals = [
            total + each.values[:, added] for each, total in zip(criteria, totals, strict=True)
        ]
        if (found := tuple(own[added] for own in scores)) > best:
            best, chosen = found, counts.copy()
    weights: Array = chosen / chosen.sum()
    return weights


def _ranked(scores: Sequence[Array]) -> Array:
    """Indices by decreasing scores; later scores break ties of earlier ones."""
    return numpy.lexsort([-each for each in reversed(scores)])
