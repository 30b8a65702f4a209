"""A model's folder: all its files, proven, whole or not at all."""

import errno
import json
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars
import tomli_w

from hpo.config.errors import ExportError, InputError
from hpo.config.version import __version__
from hpo.models.card import model_card
from hpo.models.content import ENSEMBLE, MODEL
from hpo.models.ensemble import Ensemble
from hpo.models.model import Predictor
from hpo.models.proof import Proof, prove

MAX_RENAMES = 100
"""How often a folder is put in place, against others that export the same trial meanwhile."""

Metrics = dict[str, dict[str, float]]


def write_model(
    folder: Path,
    model: Predictor,
    metrics: Metrics,
    title: str,
    note: str,
    *,
    held: polars.DataFrame,
    alone: Metrics | None = None,
    torch_program: bool = False,
) -> None:
    """Write a model's folder, whole or not at all.

    Args:
        folder: replaced when it holds an earlier model.
        model: what is written.
        metrics: `validation` and `test`, each by metric, without those that have no value there;
            `test` is empty without a test part.
        title: heading of the model card.
        note: one line on where the model comes from.
        held: raw rows that training did not see, which the files must predict on as the model does.
        alone: metrics of an ensemble's best member.
        torch_program: whether to write `model.pt2` too.

    Raises:
        InputError: the folder exists and holds something else, or cannot be written.
        ExportError: a file would not predict as the model does.
    """
    check_replaceable(folder)
    draft = _beside(folder)
    try:
        draft.mkdir(parents=True)
        _write_weights(draft, model, torch_program=torch_program)
        proof = prove(model, draft, held)
        card = model_card(model, metrics, title, note, folder.name, proof, alone)
        _write_texts(draft, model, metrics, note, proof, card)
        _put_in_place(draft, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    except ExportError as error:
        raise ExportError(f"{folder}: not written, since its {error}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Accept a folder that is not there, is empty, or holds an exported model.

    Raises:
        InputError: it holds something else, or is no folder.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    if not folder.name or (names and "model.safetensors" not in names):
        raise InputError(f"{folder}: exists and is no exported model, so it is not replaced")


def _config_text(model: Predictor, note: str) -> str:
    """A model's configuration as the file that `hpo train` takes; of an ensemble, a list."""
    if not isinstance(model, Ensemble):
        return model.parts[0][1].config.to_toml(note)
    members = [
        {"trial": member.number, "weight": member.weight, **member.model.config.to_tree()}
        for member in model.members
    ]
    text = tomli_w.dumps({"members": members})
    return f"# {note}\n# Each member is a trial of its own.\n\n{text}"


def _beside(folder: Path) -> Path:
    """A name for a hidden folder that nobody else uses."""
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")


def _put_in_place(draft: Path, folder: Path) -> None:
    """Rename a finished folder; an earlier one of the name makes room, whoever wrote it."""
    for _ in range(MAX_RENAMES):
        aside = _beside(folder)
        with suppress(FileNotFoundError):
            os.rename(folder, aside)
            shutil.rmtree(aside)
        try:
            os.rename(draft, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    raise InputError(f"{folder}: is being written by others at the same time")


def _write_weights(folder: Path, model: Predictor, *, torch_program: bool) -> None:
    from hpo.models.onnx import to_onnx  # takes a moment to import, as does torch_program

    (folder / "model.safetensors").write_bytes(model.to_bytes())
    (folder / "model.onnx").write_bytes(to_onnx(model))
    if torch_program:
        from hpo.models.program import write

        write(model, folder / "model.pt2")


def _write_texts(
    folder: Path, model: Predictor, metrics: Metrics, note: str, proof: Proof, card: str
) -> None:
    texts = {
        "config.toml": _config_text(model, note),
        "schema.json": _dump(_schema(model, proof)),
        "metrics.json": _dump(metrics),
        "README.md": card,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _schema(model: Predictor, proof: Proof) -> dict[str, Any]:
    """What `schema.json` holds: columns, versions, and what was proven."""
    from hpo.models import onnx as onnx_graph

    first = model.parts[0][1]
    of_weights = ENSEMBLE if isinstance(model, Ensemble) else MODEL
    return {
        **json.loads(model.schema.to_json()),
        "onnx_inputs": onnx_graph.described_inputs(model.schema),
        "versions": {"hpo": __version__, "torch": first.environment.torch},
        "environment": asdict(first.environment),
        "formats": {"model.safetensors": of_weights, "model.onnx": onnx_graph.FORMAT},
        "proof": asdict(proof),
    }


def _dump(tree: Any) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
