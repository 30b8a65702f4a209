"""The folder of an exported model: written as a whole, after its files are proven."""

import errno
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars
import tomli_w

from hpo.config.errors import ExportError, InputError
from hpo.config.version import __version__
from hpo.files.durable import drafting, hidden
from hpo.files.store import WEIGHTS
from hpo.models.card import model_card
from hpo.models.ensemble import Ensemble
from hpo.models.model import Predictor
from hpo.models.program import write_program
from hpo.models.proof import Proof, prove

MAX_RENAMES = 100
"""Attempts to rename a folder while other processes export the same trial."""

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
    """Write a model's folder, as a whole or not at all.

    Args:
        folder: is replaced if it holds an earlier model.
        model: to write.
        metrics: `validation` and `test`, each with the metrics that are defined there; `test` is
            empty without a test part. A refitted model has `validation_before_refit`, those of the
            search's model, or no validation metrics.
        title: heading of the model card.
        note: one line on the origin of the model.
        held: raw rows on which the files must predict like the model; training did not see them,
            except in a refit without a test part.
        alone: metrics of an ensemble's best member.
        torch_program: whether to write `model.pt2` too.

    Raises:
        InputError: the folder exists and is no exported model, or cannot be written.
        ExportError: a file does not predict like the model.
    """
    check_replaceable(folder)
    try:
        with drafting(folder.parent) as draft:
            _write_weights(draft, model, torch_program=torch_program)
            proof = prove(model, draft, held)
            card = model_card(model, metrics, title, note, folder.name, proof, alone)
            _write_texts(draft, model, metrics, note, proof, card)
            _put_in_place(draft, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    except ExportError as error:
        raise ExportError(f"{folder}: not written: {error}") from None


def check_replaceable(folder: Path) -> None:
    """Check that a folder is missing, is empty or holds an exported model.

    Raises:
        InputError: the path is something else.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    if not folder.name or (names and WEIGHTS not in names):
        raise InputError(f"{folder}: exists and is no exported model, so it is not replaced")


def _config_text(model: Predictor, note: str) -> str:
    """The configuration as a file for `hpo train`; for an ensemble, a list of them."""
    if not isinstance(model, Ensemble):  # the folds of a trial share their configuration
        return model.parts[0][1].config.to_toml(note)
    members = [
        {"trial": member.number, "weight": member.weight, **member.model.config.to_tree()}
        for member in model.members
    ]
    text = tomli_w.dumps({"members": members})
    return f"# {note}\n# Each member is a trial of its own.\n\n{text}"


def _put_in_place(draft: Path, folder: Path) -> None:
    """Rename a finished folder; an earlier folder of that name is removed."""
    for _ in range(MAX_RENAMES):
        aside = hidden(folder.parent)
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
    raise InputError(f"{folder}: is being written by other processes at the same time")


def _write_weights(folder: Path, model: Predictor, *, torch_program: bool) -> None:
    from hpo.models.onnx import to_onnx  # slow to import

    (folder / WEIGHTS).write_bytes(model.to_bytes())
    (folder / "model.onnx").write_bytes(to_onnx(model))
    if torch_program:
        write_program(model, folder / "model.pt2")


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
    """The content of `schema.json`: columns, versions, and the proof."""
    from hpo.models import onnx

    first = model.parts[0][1]
    return {
        **json.loads(model.schema.to_json()),
        **({"calibration": kept} if (kept := model.calibration.to_tree()) else {}),
        "onnx_inputs": onnx.described_inputs(model.schema),
        "versions": {"hpo": __version__, "torch": first.environment.torch},
        "environment": asdict(first.environment),
        "formats": {WEIGHTS: model.format, "model.onnx": onnx.FORMAT},
        "proof": asdict(proof),
    }


def _dump(tree: Any) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
