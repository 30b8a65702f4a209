"""Random values: drawn from a JSON Schema, mutated trees, damaged bytes."""

import copy
import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np
import tomli_w

from tests.support.ugly_tables import WORDS, damaged

Random = np.random.Generator
Tree = dict[str, Any]

ODD: tuple[Any, ...] = (
    *(True, False, 0, 1, -1, 2, 3, 17, 10**6, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(2**63, 10**40, 0.0, -0.0, 0.5, 1.0, -1.5, 1e-320, 5e-324, 1e300, 1.7e308),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "a", "0", "auto", "none", "mlp", "tpe"),
    *("x" * 5000, "é" * 300, "\x00", "a\x00.toml", "a\x00.csv", "\x1b[31mred", "\u202e", "日本"),
    *("../../etc/passwd", "/etc/passwd", "/dev/zero", "/", ".", "..", "~", "~nobody-here/t.csv"),
    *("a.toml", "t.csv", "[", "{}", "%s", "{0}", "\\", "'", '"', "\n", "\r\n", "a.b.c", "🙂"),
    *("9" * 400, "1e999", "1e9d", "90s", "0s", "1h", "-1h", "2024-02-03", "sklearn:", "__class__"),
    *([], {}, [[]], [{}], [1, 2, 3], ["a", "a"], [True, 1, 1.0], [0.5, "0.5"], {"": ""}, {"a": {}}),
    *({"type": "int"}, {"type": "float", "low": 0, "high": 1}, {"val": 0.5, "test": 0.6}),
    *({"type": "categorical", "choices": []}, {"type": "categorical", "choices": [0, False, 0.0]}),
    *({"type": "int", "low": 1, "high": 10**15}, {"type": "float", "low": -1e308, "high": 1e308}),
    *({"column": "a"}, datetime.date(2024, 2, 3), datetime.datetime(2024, 2, 3), datetime.time(4)),
)
"""Values of every type that TOML has, at and beyond the limits of what keys allow."""


def odd(random: Random) -> Any:
    """One of the odd values, a word of an ugly table, or something nested deeply."""
    pick = random.random()
    if pick < 0.04:
        return _nested(int(random.choice([3, 20, 60])), bool(random.random() < 0.5))
    if pick < 0.2:
        return WORDS[random.integers(len(WORDS))]
    return copy.deepcopy(ODD[random.integers(len(ODD))])


def _nested(depth: int, is_list: bool) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if is_list else {"a": value}
    return value


def mutated(random: Random, tree: Tree) -> Tree:
    """A copy of a tree with up to three changes, each at a random place."""
    made = copy.deepcopy(tree)
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        places = list(_places(made))
        if not places:
            return made
        _change(random, *places[random.integers(len(places))], places)
    return made


def _places(node: Any) -> Any:
    """Pairs of a container and a key or index in it, at every depth."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in list(items):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _change(random: Random, node: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    value = node[key]
    other, its_key = places[random.integers(len(places))]
    match int(random.integers(8)):
        case 0 | 1 | 2:
            node[key] = odd(random)
        case 3:
            del node[key]
        case 4:  # another type, or another number of the same
            node[key] = _retyped(random, value)
        case 5:
            node[key] = copy.deepcopy(other[its_key])
        case 6:  # one more of them
            new = odd(random) if random.random() < 0.5 else copy.deepcopy(value)
            if isinstance(node, list):
                node.insert(0, new)
            else:
                node[_renamed(random, str(key))] = new
        case 7 if isinstance(node, dict):
            node[_renamed(random, key)] = node.pop(key)


def _retyped(random: Random, value: Any) -> Any:
    if isinstance(value, bool):
        return int(value) if random.random() < 0.5 else str(value).lower()
    if isinstance(value, int | float):
        scaled = value * random.choice([-1.0, 0.0, 0.1, 10.0, 1e6, 1e300])
        return [str(value), float(value), [value], scaled][random.integers(4)]
    if isinstance(value, str):
        return [[value], {value: value}, value.upper(), value + value, 1][random.integers(5)]
    return [str(value), [value], {"a": value}, 1][random.integers(4)]


def _renamed(random: Random, key: str) -> str:
    names = (
        *(key[1:], key + key[-1:], key.upper(), f"{key}.on"),
        *("", "a.b", "größe", "\x00", "x" * 300),
    )
    return names[random.integers(len(names))]


def drawn(random: Random, schema: Tree, definitions: Mapping[str, Any] | None = None) -> Any:
    """A value that a JSON Schema describes; now and then an odd one.

    Args:
        random: source of randomness.
        schema: with the keywords that `hpo schema` prints.
        definitions: its `$defs`, in a part of it.
    """
    if definitions is None:
        definitions = schema.get("$defs", {})
    if random.random() < 0.003:
        return odd(random)
    if "$ref" in schema:
        return drawn(random, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "default" in schema and random.random() < 0.3:
        return copy.deepcopy(schema["default"])
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return drawn(random, options[random.integers(len(options))], definitions)
    if "const" in schema:
        return schema["const"]
    if options := schema.get("enum") or schema.get("examples"):
        return options[random.integers(len(options))]
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[random.integers(len(kinds))]
    match kind:
        case "object":
            required = set(schema.get("required", ()))
            return {
                name: drawn(random, part, definitions)
                for name, part in schema.get("properties", {}).items()
                if name in required or random.random() < 0.4
            }
        case "array":
            part = schema.get("items", {})
            n = int(random.integers(schema.get("minItems", 0), 4))
            return [drawn(random, part, definitions) for _ in range(n)]
        case "boolean":
            return bool(random.random() < 0.5)
        case "integer" | "number":
            return _number(random, schema, is_whole=kind == "integer")
    return ("a", "y", "t.csv", "split", "90s", "s")[random.integers(6)]


def _number(random: Random, schema: Tree, *, is_whole: bool) -> int | float:
    """A number at or within the bounds of a schema."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = min(schema.get("maximum", schema.get("exclusiveMaximum", 100)), 1000)
    value = random.choice([low, high, random.uniform(low, high), random.uniform(low, low + 3)])
    return round(value) if is_whole else float(value)


def toml(random: Random, tree: Any) -> bytes:
    """A tree as TOML; every eighth file is damaged."""
    try:
        content = tomli_w.dumps(tree).encode()
    except (TypeError, AttributeError, ValueError):  # no table, or a text that UTF-8 lacks
        content = repr(tree).encode(errors="replace")
    return damaged(random, content) if random.random() < 0.125 else content
