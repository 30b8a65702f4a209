"""Parse TOML files into validated values.

Owns the wording of all errors about a file, which name the file, the dotted key, the allowed
values, the given value, and the closest match for a misspelled key.
"""

import dataclasses
import datetime
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
from pydantic import BeforeValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails

from hpo.config.errors import DefinitionError, InputError, nearest
from hpo.config.urls import hide_passwords

Key = tuple[str | int, ...]
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_DEPTH = 16
_CENTURY = 36525 * 86400.0
_EXPECTED = {
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
_BOUNDS = {
    "greater_than": "above",
    "greater_than_equal": "at least",
    "less_than": "below",
    "less_than_equal": "at most",
}
"""pydantic's error types, in words that fit "must be ..."; a test checks that none is missing."""


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    """The pydantic validator of a type."""
    return TypeAdapter(type_)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        DefinitionError: the file is missing, unreadable or not TOML, or holds a date or time, a
            number beyond 64 bits, or too many nested tables.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DefinitionError(f"{path}: no such file") from None
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DefinitionError(f"{path}: is not a text file in UTF-8") from None
    except (
        ValueError,
        RecursionError,
    ) as error:  # ValueError also for numbers of thousands of digits
        raise DefinitionError(f"{path}: is not valid TOML: {error}") from None
    for key, problem in _oddities(tree):
        raise DefinitionError(f"{path}: {dotted(key)}: {problem}")
    return tree


def validate(type_: Any, tree: Any, where: str, prefix: tuple[str, ...] = ()) -> Any:
    """Build a value of a type from plain values, strictly: "3" is no number, 1 is no boolean.

    Args:
        type_: a pydantic model, a dataclass or any annotated type.
        tree: plain values, as from a TOML file.
        where: the file's name, which opens each message.
        prefix: the key of `tree` in that file.

    Raises:
        DefinitionError: the values are invalid; the message has one line per problem.
    """
    try:
        # Via JSON: in strict mode, pydantic converts tables to dataclasses only from JSON.
        text = json.dumps(tree, default=str)
        return _adapter(type_).validate_json(text, strict=True)
    except ValidationError as error:
        lines = _complaints(type_, tree, error.errors(), where, prefix)
        raise DefinitionError("\n".join(lines)) from None


def parse_json(type_: Any, text: str | bytes, where: str) -> Any:
    """Build a value of a type from untrusted JSON, strictly.

    Raises:
        InputError: the text is not JSON or is invalid; the message names the first problem.
    """
    try:
        return _adapter(type_).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ": ".join(filter(None, (where, dotted(first["loc"]))))
        is_ours = first["type"] == "value_error"  # its sentence keeps its capitals
        said = str(first["ctx"]["error"]) if is_ours else first["msg"].lower()
        raise InputError(f"{place}: {said}") from None


def _complaints(
    type_: Any, tree: Any, details: list[ErrorDetails], where: str, prefix: tuple[str, ...]
) -> list[str]:
    """One line per key: pydantic reports each branch of a union separately."""
    found: dict[Key, list[ErrorDetails]] = {}
    for detail in details:
        found.setdefault(_key(tree, detail), []).append(detail)
    lines = []
    for key, errors in found.items():
        if not any(other[: len(key)] == key and other != key for other in found):
            opening = ": ".join(filter(None, (where, dotted((*prefix, *key)))))
            lines.append(f"{opening}: {_complaint(type_, key, errors)}")
    return lines


def _complaint(type_: Any, key: Key, errors: list[ErrorDetails]) -> str:
    """The allowed values at a key, and the value found there."""
    first = errors[0]
    value = first["input"]
    match first["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = sorted(_members(type_, first["loc"][:-1]))
            listed = f"; known keys are {', '.join(known)}" if known else ""
            return f"unknown key{nearest(str(key[-1]), known)}{listed}"
        case "missing" | "missing_argument":
            return "is required"
        case "union_tag_not_found":
            tags = (format_value(tag) for tag in _members(type_, first["loc"]))
            return f"is required: one of {', '.join(tags)}"
        case "union_tag_invalid":
            value = value[key[-1]]
        case "value_error":
            return str(first["ctx"]["error"])
    allowed = list(dict.fromkeys(option for error in errors for option in _expected(error)))
    listed = " or ".join(filter(None, (", ".join(allowed[:-1]), allowed[-1])))
    choices = [option.strip('"') for option in allowed if option.startswith('"')]
    return f"must be {listed}, but got {format_value(value)}{nearest(str(value), choices)}"


def _expected(error: ErrorDetails) -> list[str]:
    """The values that a pydantic error allows, in words that fit "must be ..."."""
    context = error.get("ctx", {})
    if error["type"] in ("literal_error", "union_tag_invalid"):
        listed = context.get("expected") or context["expected_tags"]
        choices = re.findall("""'[^']*'|"[^"]*\"""", listed)  # as Python writes them
        return [f'"{choice[1:-1]}"' for choice in choices]
    if error["type"] in _BOUNDS:
        return [f"{_BOUNDS[error['type']]} {limit:.12g}" for limit in context.values()]
    return [_EXPECTED[error["type"]]]


def dotted(key: Key) -> str:
    """A key as TOML writes it, with array indices in brackets; overlong parts are shortened."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if re.fullmatch(r"[\w.-]{1,80}", part) else f".{format_value(part)}"
    return text.removeprefix(".")


def _key(tree: Any, detail: ErrorDetails) -> Key:
    """The key of an error: its location without the names of union branches."""
    key: list[str | int] = []
    for part in detail["loc"]:
        if isinstance(part, int) or (isinstance(tree, Mapping) and part in tree):
            tree = tree[part]
            key.append(part)
    match detail["type"]:
        case "missing" | "missing_argument":
            key.append(detail["loc"][-1])
        case "union_tag_not_found" | "union_tag_invalid":
            key.append(detail["ctx"]["discriminator"].strip("'"))
    return tuple(key)


def _oddities(tree: Any, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Values that are valid TOML but never valid settings, each with its message."""
    if len(key) > _MAX_DEPTH:
        yield key, "is nested too deeply"
    elif isinstance(tree, dict | list):
        for part, node in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _oddities(node, (*key, part))
    elif isinstance(tree, datetime.date | datetime.time):
        yield key, f"a date or time needs quotes here, but got {tree}"
    elif isinstance(tree, int) and not -(2**63) <= tree < 2**63:
        yield key, f"must be a whole number of at most 64 bits, but got one of {tree.bit_length()}"


def _members(type_: Any, location: Key) -> Mapping[str, Any]:
    """Types by key of a model or dataclass, or by tag of a union, at a location in a type.

    Empty for other types.
    """
    if location:
        return _members(_members(type_, ()).get(str(location[0])), location[1:])
    if get_origin(type_) is Annotated:
        return _members(get_args(type_)[0], ())
    if get_origin(type_) in (Union, UnionType):
        return {
            tag: member
            for member in get_args(type_)
            for field in _members(member, ()).values()
            if get_origin(field) is Literal
            for tag in get_args(field)
        }
    if isinstance(type_, type) and issubclass(type_, pydantic.BaseModel):
        return {name: field.annotation for name, field in type_.model_fields.items()}
    if dataclasses.is_dataclass(type_):
        return {field.name: field.type for field in dataclasses.fields(type_)}
    return {}


def parse_duration(text: str | float) -> float:
    """Convert "90s", "30m", "2h", "1d" or a number of seconds to seconds.

    Raises:
        ValueError: the text is not a positive duration of at most a century.
    """
    seconds = 0.0
    if isinstance(text, int | float) and not isinstance(text, bool):
        seconds = float(min(text, 2 * _CENTURY))
    elif match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(text).strip()):
        seconds = float(match[1]) * _SECONDS[match[2]]
    if not 0 < seconds <= _CENTURY:
        raise ValueError(
            f'must be a duration such as "90s", "30m" or "2h", but got {format_value(text)}'
        )
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["90s", "30m", "2h"]}),
]


def format_list(words: Sequence[str], most: int) -> str:
    """The first words separated by commas, and how many more there are."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more:,} more" if more > 0 else "")


def format_value(value: object) -> str:
    """A value as TOML writes it, without passwords in URLs, shortened to 80 characters."""
    text = hide_passwords(json.dumps(value, default=str, ensure_ascii=False))
    if not text.isprintable():
        text = hide_passwords(json.dumps(value, default=str))
    return text if len(text) <= 80 else text[:77] + "..."
