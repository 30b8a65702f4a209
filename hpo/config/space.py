"""Search spaces: a trial config in which some leaves are tunable.

A space is a tree of the sections `preprocessing`, `model`, `optimizer` and `training`. A leaf is
either a constant or a table that says how to choose it:

    { type = "float", low = 1e-4, high = 1e-2, log = true }   also step = 0.1, default = 1e-3
    { type = "int", low = 64, high = 512, step = 64 }         also log = true
    { type = "categorical", choices = ["relu", "tanh"] }

`or_zero = true` lets a number be exactly 0 as well: a second param `x.on` says whether it is used.
`when = { "optimizer.name" = "sgd" }` makes a leaf exist only while another has one of some values;
without it the leaf keeps its default. A param's name is the leaf's dotted path.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from hpo.config.errors import DefinitionError, InputError, nearest
from hpo.config.families import DEFAULT_FAMILY, config_type
from hpo.config.parsing import dotted, format_value, validate, validate_kind
from hpo.config.ranges import LEAF_KINDS, SWITCH, Categorical, FloatRange, Leaf, Tunable, Value
from hpo.config.trial import OptimizerConfig, PreprocessingConfig, TrainingConfig

Params = dict[str, Value]
Chooser = Callable[[str, Leaf], Value]

SECTIONS: dict[str, type[Any]] = {
    "preprocessing": PreprocessingConfig,
    "model": config_type(DEFAULT_FAMILY),
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
}
LEAF_TYPES = {
    f"{section}.{field.name}": field.type
    for section, kind in SECTIONS.items()
    for field in fields(kind)
}
LEAF_DEFAULTS: dict[str, Value] = {
    f"{section}.{field.name}": field.default  # type: ignore[misc]
    for section, kind in SECTIONS.items()
    for field in fields(kind)
}
MAX_GRID = 100_000


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Constant and tunable leaves by dotted path, in an order that puts conditions first."""

    constants: dict[str, Value]
    tunables: dict[str, Leaf]

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], where: str) -> "SearchSpace":
        """Check a tree of sections, as a TOML file or a study's inline table holds it.

        Raises:
            DefinitionError: naming `where`, the dotted key, the value and what is allowed.
        """
        constants: dict[str, Value] = {}
        tunables: dict[str, Leaf] = {}
        for path, node in _leaves(tree, where):
            if isinstance(node, Mapping):
                tunables[path] = _tunable(path, node, where)
            else:
                constants[path] = validate(LEAF_TYPES[path], node, where, (path,))
        space = cls(constants=constants, tunables=tunables)
        return cls(constants=constants, tunables=space._conditions_first(where))

    def to_tree(self) -> dict[str, Any]:
        """The tree that `from_tree` takes, with plain values only."""
        tree: dict[str, Any] = {}
        for path, value in self.constants.items():
            section, name = path.split(".")
            tree.setdefault(section, {})[name] = value
        for path, leaf in self.tunables.items():
            section, name = path.split(".")
            table = leaf.model_dump(mode="json", exclude_defaults=True)
            tree.setdefault(section, {})[name] = table
        return tree

    def fixed(self, constants: Mapping[str, Value]) -> "SearchSpace":
        """The same space with some leaves made constant."""
        tunables = {path: leaf for path, leaf in self.tunables.items() if path not in constants}
        return SearchSpace(constants={**self.constants, **constants}, tunables=tunables)

    def params(self) -> dict[str, Leaf]:
        """Every param a trial may have, by name, the `x.on` switches included."""
        found: dict[str, Leaf] = {}
        for path, leaf in self.tunables.items():
            if leaf.or_zero:
                found[f"{path}.on"] = SWITCH
            found[path] = leaf
        return found

    def walk(self, choose: Chooser) -> Params:
        """Choose every param that is active given the choices before it.

        Args:
            choose: called with a param's name and range; returns its value.

        Returns:
            The params in the order they were chosen.
        """
        params: Params = {}
        for path, leaf in self.tunables.items():
            if not self.is_active(leaf, params):
                continue
            if leaf.or_zero:
                params[f"{path}.on"] = choose(f"{path}.on", SWITCH)
                if not params[f"{path}.on"]:
                    continue
            params[path] = choose(path, leaf)
        return params

    def is_active(self, leaf: Tunable, params: Mapping[str, Value]) -> bool:
        """Whether a leaf exists beside the params of those before it."""
        return all(
            self._value(path, params) in _listed(wanted) for path, wanted in leaf.when.items()
        )

    def default_params(self) -> Params:
        """The params of the default configuration, which is every study's trial 0."""
        return self.walk(self._default)

    def grid(self) -> Iterator[Params]:
        """Every point of a space whose ranges are all finite, each once.

        Raises:
            InputError: a range has no step, or the grid holds more than `MAX_GRID` points.
        """
        axes: dict[str, Sequence[Value]] = {
            name: leaf.grid() for name, leaf in self.params().items()
        }
        for name, values in axes.items():
            if not values:
                raise InputError(f"the grid sampler needs steps: give {name} a step or choices")
        if math.prod(len(values) for values in axes.values()) > MAX_GRID:
            raise InputError(f"the grid holds more than {MAX_GRID} points: use another sampler")
        seen = set()
        for point in itertools.product(*axes.values()):
            chosen = dict(zip(axes, point, strict=True))
            params = self.walk(lambda name, _, chosen=chosen: chosen[name])  # type: ignore[misc]
            if (key := tuple(params.items())) not in seen:
                seen.add(key)
                yield params

    def resolve(self, params: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
        """The trial config's sections for these params, every leaf filled in."""
        values = {**LEAF_DEFAULTS, **self.constants}
        for path, leaf in self.tunables.items():
            if path in params:
                values[path] = params[path]
            elif leaf.or_zero and params.get(f"{path}.on") is False:
                values[path] = 0.0 if isinstance(leaf, FloatRange) else 0
        tree: dict[str, dict[str, Value]] = {section: {} for section in SECTIONS}
        for path, value in values.items():
            section, name = path.split(".")
            tree[section][name] = value
        return tree

    def check_params(self, params: Mapping[str, Value]) -> None:
        """Accept some or all params of one trial.

        Raises:
            InputError: an unknown name or a value outside its range.
        """
        known = self.params()
        for name, value in params.items():
            if name not in known:
                listed = f"the study's params are {', '.join(known)}"
                raise InputError(f"unknown param {name}{nearest(name, known)}; {listed}")
            if not known[name].admits(value):
                raise InputError(
                    f"{name} must be {known[name].allowed()}, but got {format_value(value)}"
                )

    def check_active(self, params: Mapping[str, Value]) -> None:
        """Accept params of one trial that all have a place in it, whatever is drawn beside them.

        Raises:
            InputError: one is turned off, or another param that its `when` names has, or may get,
                a value with which it does not exist.
        """
        for name in params:
            path = name.removesuffix(".on")
            if name == path and params.get(f"{path}.on") is False:
                raise InputError(f"{name} is turned off by {name}.on = false")
            for other, wanted in self.tunables[path].when.items():
                allowed = _listed(wanted)
                if not self._is_sure(other, allowed, params):
                    only = " or ".join(format_value(value) for value in allowed)
                    value = self._value(other, params)
                    given = "not given" if value is None else format_value(value)
                    raise InputError(
                        f"{name} exists only where {other} is {only}, which is {given}"
                    )

    def _is_sure(self, path: str, allowed: Sequence[Value], params: Mapping[str, Value]) -> bool:
        """Whether a leaf has one of some values in every trial with these params."""
        value = self._value(path, params)
        leaf = self.tunables.get(path)
        if value is None and isinstance(leaf, Categorical) and not leaf.when:
            return set(leaf.choices) <= set(allowed)
        return value in allowed

    def switched(self, params: Mapping[str, Value]) -> Params:
        """Params as a person says them: `x = 0` turns an `or_zero` leaf off, another value on."""
        found: Params = {}
        for name, value in params.items():
            leaf = self.tunables.get(name)
            if leaf is None or not leaf.or_zero:
                found[name] = value
                continue
            found.setdefault(f"{name}.on", value != 0)
            if value != 0:
                found[name] = value
        return found

    def _value(self, path: str, params: Mapping[str, Value]) -> Value | None:
        if path in self.tunables:
            off = params.get(f"{path}.on") is False
            return 0 if off else params.get(path)
        return self.constants.get(path, LEAF_DEFAULTS[path])

    def _default(self, name: str, leaf: Leaf) -> Value:
        if leaf is SWITCH:
            return self.tunables[name.removesuffix(".on")].default != 0
        return leaf.middle() if leaf.default is None else leaf.default

    def _conditions_first(self, where: str) -> dict[str, Leaf]:
        """Order the tunables so that each comes after those its `when` names."""
        ordered: dict[str, Leaf] = {}
        pending = dict(self.tunables)
        while pending:
            ready = [path for path, leaf in pending.items() if not set(leaf.when) & set(pending)]
            if not ready:
                circle = ", ".join(pending)
                raise DefinitionError(f"{where}: when: {circle} wait for each other")
            for path in ready:
                ordered[path] = pending.pop(path)
        return ordered


def _leaves(tree: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    for section, table in tree.items():
        if section not in SECTIONS:
            raise DefinitionError(
                f"{where}: {dotted((section,))}: unknown section{nearest(section, SECTIONS)}; "
                f"known sections are {', '.join(SECTIONS)}"
            )
        if not isinstance(table, Mapping):
            raise DefinitionError(
                f"{where}: {section}: must be a table, but got {format_value(table)}"
            )
        known = [path.split(".")[1] for path in LEAF_TYPES if path.startswith(f"{section}.")]
        for name, node in table.items():
            if name not in known:
                raise DefinitionError(
                    f"{where}: {dotted((section, name))}: unknown key{nearest(name, known)}; "
                    f"known keys are {', '.join(known)}"
                )
            yield f"{section}.{name}", node


def _tunable(path: str, node: Mapping[str, Any], where: str) -> Leaf:
    """Parse one tunable leaf and check that every value it can take suits the leaf."""
    leaf: Leaf = validate_kind(LEAF_KINDS, "type", node, where, path)
    if isinstance(leaf, Categorical):
        choices = _suited(path, leaf.choices, where, (path, "choices"))
        leaf = leaf.model_copy(update={"choices": choices})
    else:
        _suited(path, (leaf.low,), where, (path, "low"))
        _suited(path, (leaf.high,), where, (path, "high"))
    if leaf.or_zero:
        _suited(path, (0,), where, (path, "or_zero"))
    for other, wanted in leaf.when.items():
        if other not in LEAF_TYPES or other == path:
            hint = nearest(other, LEAF_TYPES)
            raise DefinitionError(
                f"{where}: {path}.when: {format_value(other)} is no other leaf{hint}"
            )
        if wanted == []:
            raise DefinitionError(f"{where}: {path}.when.{other}: must hold a value, but got []")
        _suited(other, _listed(wanted), where, (path, "when", other))
    return leaf


def _suited(
    path: str, values: Iterable[Value], where: str, key: tuple[str, ...]
) -> tuple[Value, ...]:
    """The values as the leaf's own type has them: 0 is 0.0 where it is a real number."""
    return tuple(validate(LEAF_TYPES[path], value, where, key) for value in values)


def _listed(wanted: Value | list[Value]) -> list[Value]:
    return wanted if isinstance(wanted, list) else [wanted]
