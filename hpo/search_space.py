"""Search spaces: a trial config in which some leaves are tunable.

A space is a tree of the sections `preprocessing`, `model`, `optimizer` and `training`. A leaf is
either a constant or a table that says how to choose it:

    { type = "float", low = 1e-4, high = 1e-2, log = true }   also step = 0.1, default = 1e-3
    { type = "int", low = 64, high = 512, step = 64 }         also log = true
    { type = "categorical", choices = ["relu", "tanh"] }

`or_zero = true` lets a number be exactly 0 as well: a second param `x.on` says whether it is used.
`when = { "optimizer.name" = "sgd" }` makes a leaf exist only while another has one of some values;
without it the leaf keeps its default. A param's name is the leaf's dotted path.

Does not know: Optuna, data, budgets.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpo.errors import DefinitionError, InputError, nearest
from hpo.parsing import shown, validate, validate_kind
from hpo.trial import ModelConfig, OptimizerConfig, PreprocessingConfig, TrainingConfig

Value = bool | int | float | str
Params = dict[str, Value]

SECTIONS = {
    "preprocessing": PreprocessingConfig,
    "model": ModelConfig,
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


class Tunable(BaseModel):
    """What every tunable leaf may say beside its range."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: dict[str, Value | list[Value]] = Field(default_factory=dict)


class FloatRange(Tunable):
    """A real number in [low, high], on a log scale or in steps when asked."""

    type: Literal["float"]
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    log: bool = False
    step: Annotated[float | None, Field(gt=0)] = None
    or_zero: bool = False
    default: float | None = None

    @model_validator(mode="after")
    def _check(self) -> "FloatRange":
        check_range(self)
        return self

    def middle(self) -> float:
        """The default of a range that names none: its middle, geometric when `log`."""
        if self.log:
            return math.exp((math.log(self.low) + math.log(self.high)) / 2)
        if self.step is None:
            return (self.low + self.high) / 2
        return self.low + self.step * int((self.high - self.low) / self.step / 2)

    def grid(self) -> list[Value]:
        """Its values in steps; empty where it has no step."""
        if self.step is None:
            return []
        n = int((self.high - self.low) / self.step + 1e-9) + 1
        return [self.low + index * self.step for index in range(n)]

    def admits(self, value: Value) -> bool:
        """Whether a trial may have this value."""
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high

    def allowed(self) -> str:
        """The range in words."""
        return f"from {self.low:g} to {self.high:g}" + (" or 0" if self.or_zero else "")


class IntRange(Tunable):
    """A whole number in [low, high], on a log scale or in steps when asked."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: Annotated[int | None, Field(gt=0)] = None
    or_zero: bool = False
    default: int | None = None

    @model_validator(mode="after")
    def _check(self) -> "IntRange":
        check_range(self)
        return self

    def middle(self) -> int:
        """The default of a range that names none: its middle, geometric when `log`."""
        if self.log:
            return round(math.sqrt(self.low * self.high))
        step = self.step or 1
        return self.low + (self.high - self.low) // (2 * step) * step

    def grid(self) -> list[Value]:
        """Its values; empty where it is on a log scale."""
        return [] if self.log else list(range(self.low, self.high + 1, self.step or 1))

    def admits(self, value: Value) -> bool:
        """Whether a trial may have this value."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % (self.step or 1) == 0

    def allowed(self) -> str:
        """The range in words."""
        steps = f" in steps of {self.step}" if self.step else ""
        return f"from {self.low} to {self.high}{steps}" + (" or 0" if self.or_zero else "")


class Categorical(Tunable):
    """One of some values."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Value, ...], Field(min_length=1)]
    default: Value | None = None

    @property
    def or_zero(self) -> bool:
        """A choice that may be 0 simply lists it."""
        return False

    @model_validator(mode="after")
    def _check(self) -> "Categorical":
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"choices must differ, but got {shown(self.choices)}")
        if self.default is not None and self.default not in self.choices:
            raise ValueError(f"default must be {self.allowed()}, but got {shown(self.default)}")
        return self

    def middle(self) -> Value:
        """The default of choices that name none: the first."""
        return self.choices[0]

    def grid(self) -> list[Value]:
        """Its values."""
        return list(self.choices)

    def admits(self, value: Value) -> bool:
        """Whether a trial may have this value."""
        return any(value == choice and type(value) is type(choice) for choice in self.choices)

    def allowed(self) -> str:
        """The choices in words."""
        return "one of " + ", ".join(shown(choice) for choice in self.choices)


Leaf = FloatRange | IntRange | Categorical
LEAF_KINDS: dict[str, type[Leaf]] = {
    "float": FloatRange,
    "int": IntRange,
    "categorical": Categorical,
}
SWITCH = Categorical(type="categorical", choices=(False, True))
Chooser = Callable[[str, Leaf], Value]


def check_range(leaf: FloatRange | IntRange) -> None:
    """What must hold of the numbers of a range.

    Raises:
        ValueError: in words that `hpo.parsing` prefixes with file and key.
    """
    if leaf.low > leaf.high:
        raise ValueError(f"low must not exceed high, but got low = {leaf.low}, high = {leaf.high}")
    if leaf.log and leaf.low <= 0:
        raise ValueError(f"log needs low above 0, but got low = {leaf.low}")
    if leaf.log and leaf.step is not None:
        raise ValueError("log and step exclude each other")
    if leaf.or_zero and leaf.low < 0:
        raise ValueError(f"or_zero needs low of 0 or more, but got low = {leaf.low}")
    off = leaf.or_zero and leaf.default == 0
    if leaf.default is not None and not leaf.admits(leaf.default) and not off:
        raise ValueError(f"default must be {leaf.allowed()}, but got {leaf.default}")


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
            if not self._active(leaf, params):
                continue
            if leaf.or_zero:
                params[f"{path}.on"] = choose(f"{path}.on", SWITCH)
                if not params[f"{path}.on"]:
                    continue
            params[path] = choose(path, leaf)
        return params

    def default_params(self) -> Params:
        """The params of the default configuration, which is every study's trial 0."""
        return self.walk(self._default)

    def grid(self) -> Iterator[Params]:
        """Every point of a space whose ranges are all finite, each once.

        Raises:
            InputError: a range has no step, or the grid holds more than `MAX_GRID` points.
        """
        axes: dict[str, list[Value]] = {name: leaf.grid() for name, leaf in self.params().items()}
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
                raise InputError(f"{name} must be {known[name].allowed()}, but got {shown(value)}")

    def _active(self, leaf: Tunable, params: Mapping[str, Value]) -> bool:
        return all(
            self._value(path, params) in _listed(wanted) for path, wanted in leaf.when.items()
        )

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
            listed = f"known sections are {', '.join(SECTIONS)}"
            raise DefinitionError(
                f"{where}: {section}: unknown section{nearest(section, SECTIONS)}; {listed}"
            )
        if not isinstance(table, Mapping):
            raise DefinitionError(f"{where}: {section}: must be a table, but got {shown(table)}")
        known = [path.split(".")[1] for path in LEAF_TYPES if path.startswith(f"{section}.")]
        for name, node in table.items():
            if name not in known:
                listed = f"known keys are {', '.join(known)}"
                raise DefinitionError(
                    f"{where}: {section}.{name}: unknown key{nearest(name, known)}; {listed}"
                )
            yield f"{section}.{name}", node


def _tunable(path: str, node: Mapping[str, Any], where: str) -> Leaf:
    """Parse one tunable leaf and check that every value it can take suits the leaf."""
    leaf: Leaf = validate_kind(LEAF_KINDS, "type", node, where, path)
    ends = leaf.choices if isinstance(leaf, Categorical) else (leaf.low, leaf.high)
    for value in (*ends, *((0,) if leaf.or_zero else ())):
        validate(LEAF_TYPES[path], value, where, (path,))
    for other, wanted in leaf.when.items():
        if other not in LEAF_TYPES or other == path:
            hint = nearest(other, LEAF_TYPES)
            raise DefinitionError(f'{where}: {path}.when: "{other}" is no other leaf{hint}')
        for value in _listed(wanted):
            validate(LEAF_TYPES[other], value, where, (path, "when", other))
    return leaf


def _listed(wanted: Value | list[Value]) -> list[Value]:
    return wanted if isinstance(wanted, list) else [wanted]
