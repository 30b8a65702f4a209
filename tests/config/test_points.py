"""The points of finite spaces, against those that listing them finds."""

import itertools
import random
from typing import Any

import pytest

from hpo.config.points import Points
from hpo.config.space import Params, SearchSpace

SPACES: dict[str, dict[str, Any]] = {
    "plain": {
        "model": {
            "depth": {"type": "int", "low": 1, "high": 3},
            "width": {"type": "int", "low": 8, "high": 32, "step": 8},
        },
        "optimizer": {"weight_decay": {"type": "float", "low": 0.1, "high": 0.5, "step": 0.1}},
    },
    "conditional": {
        "model": {
            "depth": {"type": "int", "low": 1, "high": 5, "when": {"model.width": [8, 16]}},
            "width": {"type": "int", "low": 4, "high": 20, "step": 4},
            "dropout": {
                "type": "float",
                "low": 0.0,
                "high": 0.3,
                "step": 0.1,
                "or_zero": True,
                "when": {"model.depth": [2, 4]},
            },
            "activation": {
                "type": "categorical",
                "choices": ["relu", "tanh"],
                "when": {"optimizer.name": "sgd"},
            },
        },
        "optimizer": {
            "name": {"type": "categorical", "choices": ["adam", "sgd", "rmsprop"]},
            "momentum": {
                "type": "float",
                "low": 0.5,
                "high": 0.5,
                "when": {"optimizer.name": ["sgd", "rmsprop"]},
            },
            "l1": {
                "type": "float",
                "low": 0.1,
                "high": 0.3,
                "step": 0.1,
                "or_zero": True,
                "when": {"optimizer.name": ["adam"]},
            },
            "weight_decay": {
                "type": "float",
                "low": 0.1,
                "high": 0.2,
                "step": 0.1,
                "when": {"optimizer.l1": [0, 0.2]},
            },
        },
    },
}


def space(tree: dict[str, Any]) -> SearchSpace:
    return SearchSpace.from_tree(tree, "test")


def every_point(searched: SearchSpace) -> list[Params]:
    """Each once, by trying all combinations of values."""
    values = {
        name: [leaf.value(place) for place in range(leaf.n_values or 0)]
        for name, leaf in searched.params().items()
    }
    found: list[Params] = []
    for row in itertools.product(*values.values()):
        chosen = dict(zip(values, row, strict=True))
        params = searched.walk(lambda name, _, chosen=chosen: chosen[name])  # type: ignore[misc]
        if params not in found:
            found.append(params)
    return found


@pytest.mark.parametrize("tree", SPACES.values(), ids=SPACES)
def test_numbers_and_points_are_one_to_one(tree: dict[str, Any]) -> None:
    searched = space(tree)
    points, every = Points.of(searched), every_point(searched)
    assert points is not None
    assert points.n == len(every)
    assert sorted(number for each in every if (number := points.number(each)) is not None) == list(
        range(points.n)
    )
    for number in range(points.n):
        params = points.params(number)
        assert points.number(params) == number
        assert params in every


def test_a_space_with_a_real_number_has_points_without_end() -> None:
    tree = {"optimizer": {"learning_rate": {"type": "float", "low": 0.1, "high": 0.2}}}
    assert Points.of(space(tree)) is None


def test_what_is_no_point_has_no_number() -> None:
    points = Points.of(space(SPACES["plain"]))
    assert points is not None
    whole = points.params(0)
    assert points.number({**whole, "model.depth": 9}) is None
    assert points.number({name: whole[name] for name in list(whole)[1:]}) is None
    assert points.number({**whole, "optimizer.weight_decay": 0.1 + 0.2}) is not None


def test_a_space_of_any_size_is_counted_at_once() -> None:
    tree = {
        "model": {
            "width": {"type": "int", "low": 1, "high": 65_536},
            "depth": {"type": "int", "low": 1, "high": 64, "log": True},
        },
        "training": {
            "seed": {"type": "int", "low": 0, "high": 2**31 - 1},
            "batch_size": {"type": "int", "low": 1, "high": 1000, "when": {"model.width": 77}},
        },
    }
    points = Points.of(space(tree))
    assert points is not None
    assert points.n == (65_535 + 1000) * 64 * 2**31
    for _ in range(100):
        number = random.randrange(points.n)
        assert points.number(points.params(number)) == number
