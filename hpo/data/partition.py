"""Partition rows at random, by groups or by time.

Owns the algorithms, which know rows only by number and by the codes of their class, group or time.
All tensors are one-dimensional and int64.
"""

from collections.abc import Sequence

import numpy as np
import torch


def by_shares(
    classes: torch.Tensor, *, val: float, test: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Shuffle the rows of each class and divide them by share; the first of each class trains.

    Args:
        classes: the class of each row.
        val: the share of validation rows.
        test: the share of test rows.
        seed: of the shuffle.

    Returns:
        The training, validation and test rows, ascending.
    """
    shuffled = _shuffled(classes, seed)
    test_rows, rest = _deal(torch.cat([rows[1:] for rows in shuffled]), test)
    val_rows, rest = _deal(rest, val / (1 - test))
    train_rows = torch.cat([*(rows[:1] for rows in shuffled), rest])
    return train_rows.sort().values, val_rows.sort().values, test_rows.sort().values


def class_folds(classes: torch.Tensor, n_folds: int, seed: int) -> torch.Tensor:
    """The fold of each row. Neither the folds nor a class in them differ by more than one row."""
    shuffled = torch.cat(_shuffled(classes, seed))
    folds = torch.empty_like(shuffled)
    folds[shuffled] = torch.arange(len(shuffled)) % n_folds
    return folds


def group_parts(
    groups: torch.Tensor, classes: torch.Tensor, shares: Sequence[float], seed: int
) -> torch.Tensor:
    """The part of each row, so that a group is in one part and each class is divided by share.

    Groups are placed one after the other, the largest first, where they add least to the squared
    differences between the counts and their shares. This is the greedy method of scikit-learn's
    `StratifiedGroupKFold`, for parts of any size. Each part gets a group.

    Args:
        groups: the group of each row; at least as many groups as parts.
        classes: the class of each row, from 0.
        shares: the share of each part, above 0; their sum is 1.
        seed: of the order of groups of equal size.
    """
    found, codes = np.unique(groups.numpy(), return_inverse=True)
    n_groups, n_classes = len(found), int(classes.max()) + 1
    cells = np.bincount(codes * n_classes + classes.numpy(), minlength=n_groups * n_classes)
    counts = cells.reshape(n_groups, n_classes).astype(np.float64)
    counts /= np.maximum(counts.sum(axis=0), 1)  # each class counts as much as any other
    sizes = (counts**2).sum(axis=1)
    order = torch.randperm(n_groups, generator=torch.Generator().manual_seed(seed)).numpy()
    order = order[np.argsort(-sizes[order], kind="stable")]
    share, placed = np.array(shares), np.zeros((len(shares), n_classes))
    parts, is_empty = np.empty(n_groups, dtype=np.int64), np.ones(len(shares), dtype=bool)
    for n_placed, group in enumerate(order):
        cost = (2 * placed @ counts[group] + sizes[group]) / share
        if n_groups - n_placed <= is_empty.sum():
            cost[~is_empty] = np.inf
        best = int(cost.argmin())
        parts[group], is_empty[best] = best, False
        placed[best] += counts[group]
    return torch.from_numpy(parts)[codes]


def time_blocks(times: torch.Tensor, dues: Sequence[int]) -> list[torch.Tensor]:
    """Cut the rows in the order of time into blocks; rows of equal time are in one block.

    Args:
        times: the time of each row; at least one more distinct time than `dues`.
        dues: the numbers of rows before each cut, ascending; cuts are as near as equal times allow.

    Returns:
        The rows of each block, ascending; no block is empty.
    """
    ordered, order = times.sort(stable=True)
    cuts = (ordered.diff() != 0).nonzero().squeeze(1) + 1
    taken, first = [0], 0
    for place, due in enumerate(dues):
        last = len(cuts) - (len(dues) - 1 - place)  # each later cut needs a place
        first += int((cuts[first:last] - due).abs().argmin())
        taken.append(int(cuts[first]))
        first += 1
    ends = [*taken[1:], len(times)]
    return [order[a:b].sort().values for a, b in zip(taken, ends, strict=True)]


def _shuffled(classes: torch.Tensor, seed: int) -> list[torch.Tensor]:
    """The rows of each class, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    each = [(classes == code).nonzero().squeeze(1) for code in range(int(classes.max()) + 1)]
    return [rows[torch.randperm(len(rows), generator=generator)] for rows in each]


def _deal(rows: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Take a share of the rows, evenly spaced, and return them and the others."""
    due = (torch.arange(len(rows) + 1, dtype=torch.float64) * share + 0.5).floor()
    taken = due[1:] > due[:-1]
    return rows[taken], rows[~taken]
