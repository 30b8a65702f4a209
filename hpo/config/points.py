"""The points of a finite search space, numbered from 0.

A space is finite if all tunable leaves have choices or steps. A point takes one option of each
leaf: a value, or off. A leaf that does not exist, given the options before it, has one option.
Points are numbered in the order of the options, without gaps and without a list of all points,
which may exceed the memory.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hpo.config.errors import InputError
from hpo.config.ranges import Leaf, Value
from hpo.config.space import Params, SearchSpace

_Given = frozenset[tuple[str, Value]]
"""The params chosen so far on which the existence of another leaf depends."""

MAX_GRID = 100_000


def grid(space: SearchSpace) -> "Points":
    """The points that the grid sampler tries.

    Raises:
        InputError: a range has no step, or the grid holds more than `MAX_GRID` points.
    """
    for name, leaf in space.tunables.items():
        if not leaf.grid():
            raise InputError(f"the grid sampler needs steps: give {name} a step or choices")
    points = Points(space)
    if points.n > MAX_GRID:
        raise InputError(f"the grid holds more than {MAX_GRID} points: use another sampler")
    return points


class Points:
    """The points of a finite space.

    Attributes:
        n: the number of points.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Count the points of a space."""
        self._space = space
        self._leaves = list(space.tunables.items())
        self._runs: dict[tuple[int, _Given], list[tuple[int, _Given, int]]] = {}
        self.n = self._count(0, frozenset())

    def __iter__(self) -> Iterator[Params]:
        """The params of every point, by number."""
        return (self.params(number) for number in range(self.n))

    @classmethod
    def of(cls, space: SearchSpace) -> "Points | None":
        """The points of a space; None if it is not finite."""
        is_finite = all(leaf.n_values is not None for leaf in space.tunables.values())
        return cls(space) if is_finite else None

    def number(self, params: Mapping[str, Any]) -> int | None:
        """The number of a point; None if params are missing or outside their range."""
        found, given = 0, _Given()
        for at, (path, leaf) in enumerate(self._leaves):
            option = self._option(path, leaf, given, params)
            if option is None:
                return None
            for n, after, n_points in self._split(at, given):
                if option < n:
                    found += option * n_points
                    given = after
                    break
                found += n * n_points
                option -= n
        return found

    def params(self, number: int) -> Params:
        """The params of a point."""
        params: Params = {}
        given = _Given()
        for at, (path, leaf) in enumerate(self._leaves):
            before, option = given, 0
            for n, after, n_points in self._split(at, given):
                if number < n * n_points:
                    option += number // n_points
                    number %= n_points
                    given = after
                    break
                number -= n * n_points
                option += n
            if self._space.is_active(leaf, dict(before)):
                if leaf.or_zero:
                    params[f"{path}.on"] = option > 0
                if option or not leaf.or_zero:
                    params[path] = leaf.value(option - leaf.or_zero)
        return params

    def _option(
        self, path: str, leaf: Leaf, given: _Given, params: Mapping[str, Any]
    ) -> int | None:
        """The index of the option that params take of a leaf; None if they do not define it."""
        if not self._space.is_active(leaf, dict(given)):
            return 0
        if leaf.or_zero and params.get(f"{path}.on") is False:
            return 0
        is_said = path in params and (not leaf.or_zero or f"{path}.on" in params)
        if not is_said or not leaf.admits(params[path]):
            return None
        return leaf.place(params[path]) + leaf.or_zero

    def _count(self, at: int, given: _Given) -> int:
        """The number of points over a leaf and all following leaves."""
        if at == len(self._leaves):
            return 1
        return sum(n * n_points for n, _, n_points in self._split(at, given))

    def _split(self, at: int, given: _Given) -> list[tuple[int, _Given, int]]:
        """Group consecutive options of a leaf after which the same leaves exist.

        Returns:
            For each group, the number of options, the params given after each of them, and the
            number of points for each of them.
        """
        if (at, given) not in self._runs:
            runs = self._options(at, given)
            self._runs[at, given] = [(n, after, self._count(at + 1, after)) for n, after in runs]
        return self._runs[at, given]

    def _options(self, at: int, given: _Given) -> Iterator[tuple[int, _Given]]:
        path, leaf = self._leaves[at]
        if not self._space.is_active(leaf, dict(given)):
            yield 1, given
            return
        if leaf.or_zero:
            yield 1, given | {(f"{path}.on", False)}
        n_before, n_values = 0, leaf.n_values or 0
        for place, value in sorted(
            {leaf.place(value): value for value in self._named(path)}.items()
        ):
            if place > n_before:
                yield place - n_before, given
            yield 1, given | {(path, value)}
            n_before = place + 1
        if n_values > n_before:
            yield n_values - n_before, given

    def _named(self, path: str) -> Iterator[Value]:
        """The values of a leaf on which the existence of other leaves depends."""
        leaf = self._space.tunables[path]
        for other in self._space.tunables.values():
            wanted = other.when.get(path, [])
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if leaf.admits(value):
                    yield value
