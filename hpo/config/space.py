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
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal

from hpo.config.errors import DefinitionError, InputError, nearest
from hpo.config.families import (
    DEFAULT_FAMILY,
    ModelConfig,
    config_type,
    owners,
    unknown_leaf,
)
from hpo.config.parsing import dotted, format_value, validate
from hpo.config.ranges import SWITCH, Categorical, FloatRange, Leaf, Tunable, Value
from hpo.config.trial import OptimizerConfig, PreprocessingConfig, TrainingConfig

Params = dict[str, Value]
Chooser = Callable[[str, Leaf], Value]

SECTIONS: dict[str, type[Any]] = {
    "preprocessing": PreprocessingConfig,
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "training": TrainingConfig,
}
FAMILY = "model.family"


@cache
def leaf_types(families: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """The types of all leaves by dotted path; in `[model]`, one for each family that has the leaf.

    Raises:
        DefinitionError: a family is not installed.
    """
    types: dict[str, tuple[Any, ...]] = {FAMILY: (Literal[families],)}
    for family in families:
        for path, leaf in _fields(family).items():
            if path != FAMILY:
                known = types.get(path, ())
                types[path] = known if leaf.type in known else (*known, leaf.type)
    return types


@cache
def leaf_defaults(family: str) -> dict[str, Value]:
    """The defaults of all leaves of a family by dotted path."""
    return {path: leaf.default for path, leaf in _fields(family).items()}


def _fields(family: str) -> dict[str, Any]:
    return {
        f"{section}.{field.name}": field
        for section, kind in SECTIONS.items()
        for field in fields(config_type(family) if kind is ModelConfig else kind)
    }


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Constant and tunable leaves by dotted path; each leaf follows those that its `when` names."""

    constants: dict[str, Value]
    tunables: dict[str, Leaf]

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any], where: str) -> "SearchSpace":
        """Validate a tree of sections from a TOML file or an inline table.

        Raises:
            DefinitionError: the tree is invalid; the message begins with `where`.
        """
        constants: dict[str, Value] = {}
        tunables: dict[str, Leaf] = {}
        families = _families(tree, where)
        for path, node in _leaves(tree, families, where):
            if isinstance(node, Mapping):
                tunables[path] = _tunable(path, node, families, where)
            else:
                (constants[path],) = _suited(path, (node,), families, where, (path,))
        space = cls(constants=constants, tunables=tunables)
        return cls(constants=constants, tunables=space._conditions_first(where))

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
        return tree

    def fixed(self, constants: Mapping[str, Value]) -> "SearchSpace":
        """The same space with some leaves made constant."""
        tunables = {path: leaf for path, leaf in self.tunables.items() if path not in constants}
        return SearchSpace(constants={**self.constants, **constants}, tunables=tunables)

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
            self._value(path, params) in _listed(wanted) for path, wanted in leaf.when.items()
        )

    def default_params(self) -> Params:
        """The params of the default configuration, which is trial 0 of a study."""
        return self.walk(self._default)

    def resolve(self, params: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
        """The sections of the trial config for the given params, with all leaves."""
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
        tree: dict[str, dict[str, Value]] = {section: {} for section in SECTIONS}
        for path, value in values.items():
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
                allowed = _listed(wanted)
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


def _families(tree: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The model families of a space, whose leaves it may have."""
    model = tree.get("model")
    node = model.get("family", DEFAULT_FAMILY) if isinstance(model, Mapping) else DEFAULT_FAMILY
    if isinstance(node, Mapping):
        if "when" in node:
            raise DefinitionError(f"{where}: {FAMILY}.when: every trial must have a family")
        named = validate(Leaf, node, where, (FAMILY,))
        node = list(named.choices) if isinstance(named, Categorical) else [DEFAULT_FAMILY]
    families = tuple(validate(str, name, where, (FAMILY,)) for name in _listed(node))
    for family in families:
        try:
            config_type(family)
        except DefinitionError as error:
            raise DefinitionError(f"{where}: {FAMILY}: {error}") from None
    return families


def _leaves(
    tree: Mapping[str, Any], families: Sequence[str], where: str
) -> Iterator[tuple[str, Any]]:
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
        for name, node in table.items():
            if section == "model" and not owners(name, families):
                problem = unknown_leaf(name, families)
                raise DefinitionError(f"{where}: {dotted((section, name))}: {problem}")
            known = [field.name for field in fields(SECTIONS[section])]
            if section != "model" and name not in known:
                raise DefinitionError(
                    f"{where}: {dotted((section, name))}: unknown key{nearest(name, known)}; "
                    f"known keys are {', '.join(known)}"
                )
            yield f"{section}.{name}", node


def _tunable(path: str, node: Mapping[str, Any], families: tuple[str, ...], where: str) -> Leaf:
    """Validate a tunable leaf, and its values against the type of the leaf."""
    leaf: Leaf = validate(Leaf, node, where, (path,))
    if isinstance(leaf, Categorical):
        choices = _suited(path, leaf.choices, families, where, (path, "choices"))
        leaf = leaf.model_copy(update={"choices": choices})
    else:
        _suited(path, (leaf.low,), families, where, (path, "low"))
        _suited(path, (leaf.high,), families, where, (path, "high"))
    if leaf.or_zero:
        _suited(path, (0,), families, where, (path, "or_zero"))
    types = leaf_types(families)
    for other, wanted in leaf.when.items():
        if other not in types or other == path:
            hint = nearest(other, types)
            raise DefinitionError(
                f"{where}: {path}.when: {format_value(other)} is not another leaf{hint}"
            )
        if wanted == []:
            raise DefinitionError(f"{where}: {path}.when.{other}: must hold a value, but got []")
        _suited(other, _listed(wanted), families, where, (path, "when", other))
    return _within_families(path, leaf, families, where)


def _within_families(path: str, leaf: Leaf, families: tuple[str, ...], where: str) -> Leaf:
    """Restrict a leaf of `[model]` to the trials whose family has it."""
    section, name = path.split(".")
    if section != "model" or len(own := owners(name, families)) == len(families):
        return leaf
    for family in _listed(leaf.when.get(FAMILY, [*own])):
        if family not in own:
            raise DefinitionError(
                f"{where}: {path}.when.{FAMILY}: must be one of {', '.join(own)}, "
                f"but got {format_value(family)}"
            )
    condition = own[0] if len(own) == 1 else [*own]
    return leaf.model_copy(update={"when": {FAMILY: condition, **leaf.when}})


def _suited(
    path: str,
    values: Iterable[Value],
    families: tuple[str, ...],
    where: str,
    key: tuple[str, ...],
) -> tuple[Value, ...]:
    """Convert values to the types of a leaf: 0 becomes 0.0 for a real number."""
    suited = tuple(values)
    for type_ in leaf_types(families)[path]:
        suited = tuple(validate(type_, value, where, key) for value in suited)
    return suited


def _listed(wanted: Value | list[Value]) -> list[Value]:
    return wanted if isinstance(wanted, list) else [wanted]
