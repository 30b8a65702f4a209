"""A model file's content: safetensors, with what the tensors mean as JSON text in the header."""

import json
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch

from hpo.config.errors import InputError
from hpo.config.parsing import parse_json

MODEL, ENSEMBLE = 1, 2
"""The formats that there are. A kind of content that yesterday's code would misread takes the next
number; the reader of every earlier one stays, and a file of it under `tests/earlier_versions/models`."""

Tensors = dict[str, torch.Tensor]
Header = dict[str, str]


def pack(tensors: Tensors, header: Header) -> bytes:
    """The content of a file."""
    return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, header)


def unpack(content: bytes, where: str, *formats: int) -> tuple[Tensors, Header]:
    """What `pack` wrote, of one of the formats.

    Raises:
        InputError: it is no model of ours, or of another format.
    """
    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not a model file: {error}") from None
    if (found := header.get("format")) not in map(str, formats):
        allowed = " or ".join(map(str, formats))
        raise InputError(f"{where}: must be a model of format {allowed}, but got {found}")
    return tensors, header


def part(header: Mapping[str, str], key: str, kind: Any, where: str) -> Any:
    """What a header says under a key.

    Raises:
        InputError: nothing, or nothing of that kind.
    """
    return parse_json(kind, text(header, key, where), f"{where}: {key}")


def text(header: Mapping[str, str], key: str, where: str) -> str:
    """The text under a header's key.

    Raises:
        InputError: there is none.
    """
    if key not in header:
        raise InputError(f"{where}: is not a model file: its header lacks {key}")
    return header[key]


def under(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors whose names begin so, without it."""
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
