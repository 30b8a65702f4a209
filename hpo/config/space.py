"""Search spaces: trial configurations in which some leaves are tunable.

A space is a tree of the sections `preprocessing`, `model`, `optimizer` and `training`. A leaf is
either a constant or a table that defines its values:

    { type = "float", low = 1e-4, high = 1e-2, log = true }   also step = 0.1, default = 1e-3
    { type = "int", low = 64, high = 512, step = 64 }         also log = true
    { type = "categorical", choices = ["relu", "tanh"] }

`or_zero = true` also allows exactly 0: a second param `x.on` switches the leaf on and off.
`when = { "optimizer.name" = "sgd" }` makes a leaf exist only if another leaf has one of the given
values; otherwise the leaf keeps its default. A param's name is the leaf's dotted path.

`[model] family` names the model family, and may be tunable. The leaves of `[model]` are those of
all its values. A leaf that some of these families lack exists only where the family has it, without
a `when` of its own.

Each `[[start]]` table holds some leaves of a configuration that a study tries early. Its other
leaves have their defaults.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpo.config.errors import DefinitionError, InputError, nearest
from hpo.config.families import DEFAULT_FAMILY, owners
from hpo.config.leaves import (
    FAMILY,
    SECTIONS,
    START,
    leaf_defaults,
    listed,
    read_families,
    read_leaves,
    read_start_value,
    read_tunable,
    suited,
)
from hpo.config.parsing import dotted, format_value
from hpo.config.ranges import SWITCH, Categorical, FloatRange, Leaf, Tunable, Value

Params = dict[str, Value]
Chooser = Callable[[str, Leaf], Value]


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Constant and tunable leaves by dotted path; each leaf follows those that its `when` names.

    Attributes:
        starts: the params of the configurations that a study tries after the default one.
    """

    constants: dict[str, Value]
    tunables: dict[str, Leaf]
    starts: tuple[Params, ...] = ()

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], where: str) -> "SearchSpace":
        """Validate a tree of sections from a TOML file or an inline table.

        Raises:
            DefinitionError: the tree is invalid; the message begins with `where`.
        """
        constants: dict[str, Value] = {}
        tunables: dict[str, Leaf] = {}
        families = read_families(tree, where)
        sections = {name: node for name, node in tree.items() if name != START}
        for path, node in read_leaves(sections, families, where):
            if isinstance(node, Mapping):
                tunables[path] = read_tunable(path, node, families, where)
            else:
                (constants[path],) = suited(path, (node,), families, where, (path,))
        space = cls(constants=constants, tunables=tunables)
        space = cls(constants=constants, tunables=space._conditions_first(where))
        return replace(space, starts=tuple(space._read_starts(tree.get(START, []), where)))

    @property
    def families(self) -> tuple[str, ...]:
        """The model families that trials may have."""
        leaf = self.tunables.get(FAMILY)
        named = leaf.grid() if leaf else [self.constants.get(FAMILY, DEFAULT_FAMILY)]
        return tuple(str(name) for name in named)

    def to_tree(self) -> dict[str, Any]:
        """The tree of plain values that `from_tree` accepts."""
        tree: dict[str, Any] = {}
        for path, value in self.constants.items():
            section, name = path.split(".")
            tree.setdefault(section, {})[name] = value
        for path, leaf in self.tunables.items():
            section, name = path.split(".")
            table = leaf.model_dump(mode="json", exclude_defaults=True)
            tree.setdefault(section, {})[name] = table
        for params in self.starts:
            start: dict[str, dict[str, Value]] = {}
            for path, value in plain_params(params).items():
                section, name = path.split(".")
                start.setdefault(section, {})[name] = value
            tree.setdefault(START, []).append(start)
        return tree

    def fixed(self, constants: Mapping[str, Value]) -> "SearchSpace":
        """The same space with some leaves made constant, also in its starts."""
        tunables = {path: leaf for path, leaf in self.tunables.items() if path not in constants}
        space = SearchSpace(constants={**self.constants, **constants}, tunables=tunables)
        starts = (space.completed(plain_params(params)) for params in self.starts)
        return replace(space, starts=tuple(starts))

    def params(self) -> dict[str, Leaf]:
        """All params that a trial may have, by name, including the `x.on` switches."""
        found: dict[str, Leaf] = {}
        for path, leaf in self.tunables.items():
            if leaf.or_zero:
                found[f"{path}.on"] = SWITCH
            found[path] = leaf
        return found

    def walk(self, choose: Chooser) -> Params:
        """Choose all params that exist, given the params chosen before.

        Args:
            choose: called with a param's name and range; returns its value.

        Returns:
            The params in the order of the choices.
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
        """Whether a leaf exists, given the params chosen before."""
        return all(
            self._value(path, params) in listed(wanted) for path, wanted in leaf.when.items()
        )

    def default_params(self) -> Params:
        """The params of the default configuration, which is trial 0 of a study."""
        return self.walk(self._default)

    def completed(self, given: Mapping[str, Value]) -> Params:
        """The params of a trial with the given leaves; the other leaves have their defaults.

        Args:
            given: values by leaf; 0 turns an `or_zero` leaf off. Leaves that do not exist beside
                the others are ignored.
        """

        def choose(name: str, leaf: Leaf) -> Value:
            path = name.removesuffix(".on")
            if path not in given:
                return self._default(name, leaf)
            return given[path] != 0 if leaf is SWITCH else given[path]

        return self.walk(choose)

    def leaf_values(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """All leaves of the trial config for the given params, by dotted path."""
        defaults = leaf_defaults(self._family(params))
        own = {path: value for path, value in self.constants.items() if path in defaults}
        values = {**defaults, **own}
        for path, leaf in self.tunables.items():
            if path not in defaults:
                continue
            if path in params:
                values[path] = params[path]
            elif leaf.or_zero and params.get(f"{path}.on") is False:
                values[path] = 0.0 if isinstance(leaf, FloatRange) else 0
        return values

    def resolve(self, params: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
        """The sections of the trial config for the given params, with all leaves."""
        tree: dict[str, dict[str, Value]] = {section: {} for section in SECTIONS}
        for path, value in self.leaf_values(params).items():
            section, name = path.split(".")
            tree[section][name] = value
        return tree

    def check_params(self, params: Mapping[str, Value]) -> None:
        """Validate some or all params of a trial.

        Raises:
            InputError: a name is unknown or a value is outside its range.
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
        """Make sure that given params exist in a trial, whatever values its other params get.

        Raises:
            InputError: a param is turned off, or a leaf that its `when` names has, or may get, a
                value with which the param does not exist.
        """
        for name in params:
            path = name.removesuffix(".on")
            if name == path and params.get(f"{path}.on") is False:
                raise InputError(f"{name} is turned off by {name}.on = false")
            for other, wanted in self.tunables[path].when.items():
                allowed = listed(wanted)
                if not self._is_sure(other, allowed, params):
                    only = " or ".join(format_value(value) for value in allowed)
                    value = self._value(other, params)
                    given = "not given" if value is None else format_value(value)
                    raise InputError(
                        f"{name} exists only where {other} is {only}, which is {given}"
                    )

    def _is_sure(self, path: str, allowed: Sequence[Value], params: Mapping[str, Value]) -> bool:
        """Whether a leaf has one of the allowed values in every trial with these params."""
        value = self._value(path, params)
        leaf = self.tunables.get(path)
        if value is None and isinstance(leaf, Categorical) and not leaf.when:
            return set(leaf.choices) <= set(allowed)
        return value in allowed

    def switched(self, params: Mapping[str, Value]) -> Params:
        """Add switches to params: `x = 0` turns an `or_zero` leaf off, other values on."""
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
        default = leaf_defaults(self._family(params)).get(path)
        return default if default is None else self.constants.get(path, default)

    def _family(self, params: Mapping[str, Value]) -> str:
        """The model family of a trial."""
        named = params.get(FAMILY) if FAMILY in self.tunables else self.constants.get(FAMILY)
        return str(named or DEFAULT_FAMILY)

    def _default(self, name: str, leaf: Leaf) -> Value:
        if leaf is SWITCH:
            return self.tunables[name.removesuffix(".on")].default != 0
        return leaf.middle() if leaf.default is None else leaf.default

    def _read_starts(self, nodes: Any, where: str) -> Iterator[Params]:
        """Validate the `[[start]]` tables.

        Raises:
            DefinitionError: a leaf is unknown, does not exist in its start, or has a value that
                trials cannot have.
        """
        if not isinstance(nodes, list) or not all(isinstance(node, Mapping) for node in nodes):
            problem = f"must be an array of tables, but got {format_value(nodes)}"
            raise DefinitionError(f"{where}: {START}: {problem}")
        for at, node in enumerate(nodes):
            given = dict(read_leaves(node, self.families, where, (START, at)))
            said = f"{where}: {dotted((START, at))}"
            for path, leaf in self.tunables.items():
                if path in given:
                    given[path] = read_start_value(path, leaf, given[path], self.families, said)
            params = self.completed(given)
            for path in given:
                self._check_start(path, given[path], params, said)
            yield params

    def _check_start(self, path: str, value: Any, params: Params, where: str) -> None:
        """Make sure that a leaf exists in a start, and that a constant keeps its value."""
        section, name = path.split(".")
        conditions: dict[str, Any] = {}
        if section == "model":
            conditions[FAMILY] = owners(name, self.families)
        if path in self.tunables:
            conditions |= self.tunables[path].when
        for other, wanted in conditions.items():
            if (has := self._value(other, params)) not in listed(wanted):
                only = " or ".join(format_value(each) for each in listed(wanted))
                got = "which the start lacks" if has is None else f"but got {format_value(has)}"
                raise DefinitionError(f"{where}.{path}: exists only where {other} is {only}, {got}")
        if path not in self.tunables and value != (constant := self._value(path, params)):
            raise DefinitionError(
                f"{where}.{path}: must be {format_value(constant)}, because the space does not "
                f"tune it, but got {format_value(value)}"
            )

    def _conditions_first(self, where: str) -> dict[str, Leaf]:
        """Order the tunables so that each follows those that its `when` names."""
        ordered: dict[str, Leaf] = {}
        pending = dict(self.tunables)
        while pending:
            ready = [path for path, leaf in pending.items() if not set(leaf.when) & set(pending)]
            if not ready:
                circle = ", ".join(pending)
                raise DefinitionError(f"{where}: when: {circle} depend on each other")
            for path in ready:
                ordered[path] = pending.pop(path)
        return ordered


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Params without `x.on` switches: a param that is switched off is 0."""
    plain = {}
    for name, value in params.items():
        if not name.endswith(".on"):
            plain[name] = value
        elif not value:
            plain[name.removesuffix(".on")] = 0
    return plain
