"""The content of model files: safetensors, with a description as JSON in the header."""

import json
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch

from hpo.config.errors import InputError
from hpo.config.parsing import format_value, parse_json

MODEL, ENSEMBLE, FOLDS = (1, 4), (2, 5), (3, 3)
"""Format numbers: of a model, of an ensemble of trials, of the networks of a trial's folds. A
content that earlier versions would misread gets the next number. Readers of all earlier formats
stay, and so does a file of each in the tests. The second number of each kind is for a header that
holds a calibration; format 3 always could."""

Tensors = dict[str, torch.Tensor]
Header = dict[str, str]


def serialize(tensors: Tensors, header: Header) -> bytes:
    """The content of a file."""
    return safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, header)


def deserialize(content: bytes, where: str, *formats: int) -> tuple[Tensors, Header]:
    """Read the content of a file in one of the formats.

    Raises:
        InputError: the content is no model, or has another format.
    """
    try:
        tensors = safetensors.torch.load(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (safetensors.SafetensorError, ValueError, RecursionError) as error:
        raise InputError(f"{where}: is not a model file: {error}") from None
    if (found := header.get("format")) not in map(str, formats):
        allowed = " or ".join(map(str, sorted(set(formats))))
        got = format_value(found)
        raise InputError(f"{where}: must be a model of format {allowed}, but got {got}")
    return tensors, header


def header_value(header: Mapping[str, str], key: str, kind: Any, where: str) -> Any:
    """Read a value of a header.

    Raises:
        InputError: the value is missing or of another type.
    """
    return parse_json(kind, header_text(header, key, where), f"{where}: {key}")


def header_text(header: Mapping[str, str], key: str, where: str) -> str:
    """Read a text of a header.

    Raises:
        InputError: the text is missing.
    """
    if key not in header:
        raise InputError(f"{where}: is not a model file: its header lacks {key}")
    return header[key]


def strip_prefix(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors whose names begin with a prefix, named without it."""
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}
