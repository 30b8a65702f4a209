"""TOML files into validated values, with errors a person can act on.

Owns the wording of every complaint about a file: file, dotted key, what is allowed, the value, and
the nearest match for a misspelt key.
"""

import dataclasses
import datetime
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BeforeValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails

from hpo.config.errors import DefinitionError, InputError, nearest
from hpo.config.families import DEFAULT_FAMILY, ModelConfig, config_type

T = TypeVar("T")
Key = tuple[str | int, ...]
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
MAX_DEPTH = 16
CENTURY = 36525 * 86400.0
KINDS = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a string",
    "list_type": "an array",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "dataclass_type": "a table",
    "too_short": "an array with at least one value",
}
BOUNDS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}
"""pydantic's error types, in words that fit "must be ..."; there is a test that none is missing."""


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """The pydantic validator of a type, built once."""
    return TypeAdapter(kind)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        DefinitionError: the file is missing, unreadable, not TOML, or more than a setting holds.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DefinitionError(f"{path}: no such file") from None
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DefinitionError(f"{path}: is not a text file in UTF-8") from None
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise DefinitionError(f"{path}: is not valid TOML: {error}") from None
    for key, problem in _oddities(tree):
        raise DefinitionError(f"{path}: {dotted(key)}: {problem}")
    return tree


def validate(kind: Any, tree: Any, where: str, prefix: tuple[str, ...] = ()) -> Any:
    """Build a `kind` from plain values, strictly: "3" is no number, 1 is no boolean.

    Args:
        kind: a pydantic model, a dataclass or any annotated type.
        tree: what a TOML file held.
        where: the file's name, which opens each message.
        prefix: dotted key at which `tree` stands in that file.

    Raises:
        DefinitionError: with one line per problem.
    """
    try:
        # By way of JSON: in strict mode pydantic takes a table for a dataclass from JSON alone.
        text = json.dumps(tree, default=str)
        return adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        lines = complaints(kind, tree, error.errors(), where, prefix)
        raise DefinitionError("\n".join(lines)) from None


def parse_json(kind: Any, text: str | bytes, where: str) -> Any:
    """Build a `kind` from JSON that a program wrote, or a stranger, strictly.

    Raises:
        InputError: it is not JSON, or not of the kind; names the first problem.
    """
    try:
        return adapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ": ".join(filter(None, (where, dotted(first["loc"]))))
        raise InputError(f"{place}: {first['msg'].lower()}") from None


def validate_kind(kinds: Mapping[str, type[T]], tag: str, tree: Any, where: str, prefix: str) -> T:
    """Build the kind of value that the table's own key `tag` names, such as `name = "tpe"`.

    Raises:
        DefinitionError: it is no table, names no kind, or does not suit the kind it names.
    """
    listed = "one of " + ", ".join(f'"{kind}"' for kind in kinds)
    if not isinstance(tree, Mapping):
        raise DefinitionError(f"{where}: {prefix}: must be a table, but got {format_value(tree)}")
    if tag not in tree:
        raise DefinitionError(f"{where}: {prefix}.{tag}: is required: {listed}")
    name = tree[tag]
    if not isinstance(name, str) or name not in kinds:
        hint = nearest(str(name), kinds)
        raise DefinitionError(
            f"{where}: {prefix}.{tag}: must be {listed}, but got {format_value(name)}{hint}"
        )
    value: T = validate(kinds[name], dict(tree), where, (prefix,))
    return value


def complaints(
    kind: Any, tree: Any, details: list[ErrorDetails], where: str, prefix: tuple[str, ...]
) -> list[str]:
    """One line a key: pydantic reports each branch of a union by itself."""
    found: dict[Key, list[ErrorDetails]] = {}
    for detail in details:
        found.setdefault(_key(tree, detail), []).append(detail)
    lines = []
    for key, errors in found.items():
        if not any(other[: len(key)] == key and other != key for other in found):
            opening = ": ".join(filter(None, (where, dotted((*prefix, *key)))))
            lines.append(f"{opening}: {complaint(kind, key, errors)}")
    return lines


def complaint(kind: Any, key: Key, errors: list[ErrorDetails]) -> str:
    """What is allowed at a key, and what was found there instead."""
    first = errors[0]
    match first["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = keys_at(kind, key[:-1])
            listed = f"; known keys are {', '.join(known)}" if known else ""
            return f"unknown key{nearest(str(key[-1]), known)}{listed}"
        case "missing" | "missing_argument":
            return "is required"
        case "value_error":
            return str(first["ctx"]["error"])
    allowed = list(dict.fromkeys(option for error in errors for option in expected(error)))
    listed = " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))
    choices = [option.strip('"') for option in allowed if option.startswith('"')]
    hint = nearest(str(first["input"]), choices)
    return f"must be {listed}, but got {format_value(first['input'])}{hint}"


def expected(error: ErrorDetails) -> list[str]:
    """What one pydantic error says is allowed, in words that fit "must be ..."."""
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        choices = re.findall("""'[^']*'|"[^"]*\"""", context["expected"])  # as Python writes them
        return [f'"{choice[1:-1]}"' for choice in choices]
    if error["type"] in BOUNDS:
        return [f"{BOUNDS[error['type']]} {limit:.12g}" for limit in context.values()]
    return [KINDS[error["type"]]]


def dotted(key: Key) -> str:
    """A key as TOML writes it, with the place in an array in brackets."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if re.fullmatch(r"[\w.-]+", part) else f".{format_value(part)}"
    return text.removeprefix(".")


def _key(tree: Any, detail: ErrorDetails) -> Key:
    """Where in the tree an error is: its location without the names of union branches."""
    key: list[str | int] = []
    for part in detail["loc"]:
        if isinstance(part, int) or (isinstance(tree, Mapping) and part in tree):
            tree = tree[part]
            key.append(part)
    missing = detail["type"] in ("missing", "missing_argument")
    return (*key, detail["loc"][-1]) if missing else tuple(key)


def _oddities(tree: Any, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """What TOML can say and no setting is, nor JSON or SQL can hold, each with what to do."""
    if len(key) > MAX_DEPTH:
        yield key, "is nested too deeply"
    elif isinstance(tree, dict | list):
        for part, node in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _oddities(node, (*key, part))
    elif isinstance(tree, datetime.date | datetime.time):
        yield key, f"a date or time needs quotes here, but got {tree}"
    elif isinstance(tree, int) and not -(2**63) <= tree < 2**63:
        yield key, f"must be a whole number of at most 64 bits, but got one of {tree.bit_length()}"


def keys_at(kind: Any, location: Key) -> list[str]:
    """The keys allowed where an unknown one was found, as far as the types tell."""
    for part in location:
        if isinstance(part, str):
            kind = annotations(kind).get(part)
    return sorted(annotations(kind))


def annotations(kind: Any) -> Mapping[str, Any]:
    """Field names and types of a pydantic model or dataclass; empty for other types."""
    if kind is ModelConfig:
        kind = config_type(DEFAULT_FAMILY)
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return {field.name: field.type for field in dataclasses.fields(kind)}
    return {}


def parse_duration(text: str | float) -> float:
    """Seconds of "90s", "30m", "2h" or "1d"; a plain number is seconds.

    Raises:
        ValueError: it reads as no positive duration of at most a century.
    """
    seconds = 0.0
    if isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(min(text, 2 * CENTURY))
    elif match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(text).strip()):
        seconds = float(match[1]) * SECONDS[match[2]]
    if not 0 < seconds <= CENTURY:
        raise ValueError(
            f'must be a duration such as "90s", "30m" or "2h", but got {format_value(text)}'
        )
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["90s", "30m", "2h"]}),
]


def format_value(value: object) -> str:
    """Format a value as TOML would write it, shortened."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    if not text.isprintable():
        text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
