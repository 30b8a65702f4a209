"""TOML files into validated values, with errors a person can act on.

Owns the wording of every complaint about a file: file, dotted key, what is allowed, the value, and
the nearest match for a misspelt key. Does not know what the values mean.
"""

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import BeforeValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails

from hpo.errors import DefinitionError, nearest

T = TypeVar("T")
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """The pydantic validator of a type, built once."""
    return TypeAdapter(kind)


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file.

    Raises:
        DefinitionError: the file is missing, unreadable or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DefinitionError(f"{path}: no such file") from None
    except OSError as error:
        raise DefinitionError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DefinitionError(f"{path}: is not a text file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{path}: is not valid TOML: {error}") from None


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
        lines = [complaint(kind, detail, where, prefix) for detail in error.errors()]
        raise DefinitionError("\n".join(dict.fromkeys(lines))) from None


def validate_kind(kinds: Mapping[str, type[T]], tag: str, tree: Any, where: str, prefix: str) -> T:
    """Build the kind of value that the table's own key `tag` names, such as `name = "tpe"`.

    Raises:
        DefinitionError: it is no table, names no kind, or does not suit the kind it names.
    """
    listed = "one of " + ", ".join(f'"{kind}"' for kind in kinds)
    if not isinstance(tree, Mapping):
        raise DefinitionError(f"{where}: {prefix}: must be a table, but got {shown(tree)}")
    if tag not in tree:
        raise DefinitionError(f"{where}: {prefix}.{tag}: is required: {listed}")
    name = tree[tag]
    if not isinstance(name, str) or name not in kinds:
        hint = nearest(str(name), kinds)
        raise DefinitionError(
            f"{where}: {prefix}.{tag}: must be {listed}, but got {shown(name)}{hint}"
        )
    value: T = validate(kinds[name], dict(tree), where, (prefix,))
    return value


def complaint(kind: Any, detail: ErrorDetails, where: str, prefix: tuple[str, ...]) -> str:
    """One pydantic error as `file: dotted.key: what is allowed, but got value`."""
    parts = [str(part) for part in detail["loc"]]
    dotted = ".".join([*prefix, *(part for part in parts if not part.startswith("function-"))])
    opening = f"{where}: {dotted}: " if dotted else f"{where}: "
    match detail["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            known = keys_at(kind, detail["loc"][:-1])
            listed = f"; known keys are {', '.join(known)}" if known else ""
            return f"{opening}unknown key{nearest(parts[-1], known)}{listed}"
        case "missing" | "missing_argument":
            return f"{opening}is required"
        case "value_error":
            return f"{opening}{detail['ctx']['error']}"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    message = message.removeprefix("input ").replace("should be", "must be")
    return f"{opening}{message}, but got {shown(detail['input'])}"


def keys_at(kind: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed where an unknown one was found, as far as the types tell."""
    for part in location:
        if isinstance(part, str):
            kind = annotations(kind).get(part)
    return sorted(annotations(kind))


def annotations(kind: Any) -> Mapping[str, Any]:
    """Field names and types of a pydantic model or dataclass; empty for other types."""
    if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return {field.name: field.type for field in dataclasses.fields(kind)}
    return {}


def parse_duration(text: str | float) -> float:
    """Seconds of "90s", "30m", "2h" or "1d"; a plain number is seconds.

    Raises:
        ValueError: it reads as no positive duration.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", str(text).strip())
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if seconds <= 0:
        raise ValueError(f'must be a duration such as "90s", "30m" or "2h", but got {shown(text)}')
    return seconds


Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema({"type": "string"})]


def shown(value: object) -> str:
    """A value as TOML would write it, shortened."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
