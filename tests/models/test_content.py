"""Model files: of every format there ever was, and ensembles."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import safetensors.torch
import torch

from hpo.config.errors import InputError
from hpo.config.trial import Task
from hpo.data.sources import read_raw
from hpo.models.ensemble import Ensemble, EnsembleMember, FoldEnsemble
from hpo.models.loading import load_model
from hpo.models.model import Model
from tests.support.models import ensemble, experiment
from tests.support.paths import EARLIER_VERSIONS

STORED = EARLIER_VERSIONS / "models"


KINDS = {1: Model, 2: Ensemble, 3: FoldEnsemble, 4: Model, 5: Ensemble}


@pytest.mark.parametrize(("version", "kind"), KINDS.items())
def test_a_stored_file_of_every_format_predicts_what_it_did(version: int, kind: type) -> None:
    folder = STORED / f"format_{version}"
    model = load_model(folder)
    assert isinstance(model, kind)
    predictions = model.predict(read_raw("rows.csv", folder).frame)
    stored = polars.read_csv(folder / "predictions.csv")
    assert predictions.columns == stored.columns
    assert predictions["prediction"].to_list() == stored["prediction"].to_list()
    close = np.allclose(predictions[:, 1:], stored[:, 1:], rtol=1e-4, atol=1e-7)
    assert close, predictions


def test_every_format_has_a_stored_file() -> None:
    assert {path.name for path in STORED.iterdir()} == {f"format_{n}" for n in KINDS}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_an_ensemble_predicts_the_weighted_mean_and_metrics_agree(task: Task) -> None:
    made = experiment(task)
    mixed = ensemble(made)
    again = Ensemble.from_bytes(mixed.to_bytes(), "it")
    assert [(m.number, m.weight) for m in again.members] == [(4, 0.5), (0, 0.25), (7, 0.25)]
    rows = made.held_rows(20)
    encoded = mixed.schema.encode(rows)
    first, second, third = (member.model.outputs(*encoded) for member in mixed.members)
    assert torch.allclose(mixed.outputs(*encoded), first / 2 + second / 4 + third / 4)
    assert again.predict(rows).equals(mixed.predict(rows))
    # Metrics come from logits: of one member they are that member's own.
    model = mixed.members[0].model
    member = EnsembleMember(number=4, weight=1.0, model=model)
    alone = Ensemble(schema=mixed.schema, metrics={}, members=(member,))
    metrics = made.test_metrics(model)
    assert made.test_metrics(alone) == pytest.approx(metrics, rel=1e-9)


def test_a_newer_format_is_refused_with_those_there_are(tmp_path: Path) -> None:
    content = safetensors.torch.save({}, {"format": "6"})
    (tmp_path / "model.safetensors").write_bytes(content)
    formats = "1 or 2 or 3 or 4 or 5"
    with pytest.raises(InputError, match=f'must be a model of format {formats}, but got "6"'):
        load_model(tmp_path)
    with pytest.raises(InputError, match='must be a model of format 1 or 4, but got "6"'):
        Model.from_bytes(content, "it")


def spoilt(content: bytes, **parts: str | None) -> bytes:
    """A model's file with other texts in its header; None takes one out."""
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"] | parts
    return safetensors.torch.save(tensors, {k: v for k, v in header.items() if v is not None})


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"schema": None}, "is not a model file: its header lacks schema"),
        ({"schema": "[]"}, "schema: input should be"),
        ({"schema": "[" * 100_000}, "schema: invalid json"),
        ({"schema": ("n_train", "many")}, "schema: n_train: input should be a valid integer"),
        ({"schema": ("numeric", [1])}, r"schema: numeric\[0\]: input should be a valid string"),
        ({"schema": ("numeric_missing", ["other"])}, "schema: its columns or classes contradict"),
        ({"schema": ("classes", ["one"])}, "schema: its columns or classes contradict"),
        ({"schema": ("categorical", [])}, "its tensors do not fit its configuration"),
        ({"config": "9" * 5000}, "config: "),
        ({"config": "{}"}, "config: data: "),
        ({"target": "[0]"}, r"target\[?"),
        ({"target": "[0, null]"}, r"target: \[1\]: input should be a valid number"),
        ({"metrics": '{"rmse": "good"}'}, "metrics: rmse: "),
        ({"environment": "{}"}, "environment: "),
        ({"format": "2"}, "is not a model file: its header lacks members"),
        ({"format": "2", "members": "[]"}, "is an ensemble without members"),
        ({"format": "2", "members": "[{}]"}, r"members: \[0\].number: "),
    ],
)
def test_a_strangers_file_is_refused_in_a_sentence(
    parts: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    content = (STORED / "format_1" / "model.safetensors").read_bytes()
    changed = parts.get("schema")
    if isinstance(changed, tuple):
        key, value = changed
        schema = json.loads(load_model(STORED / "format_1").schema.to_json())
        parts = {"schema": json.dumps({**schema, key: value})}
    file = tmp_path / "model.safetensors"
    file.write_bytes(spoilt(content, **parts))
    with pytest.raises(InputError, match=f"^{re.escape(str(file))}: {sentence}"):
        load_model(tmp_path)


def test_a_file_whose_columns_lie_elsewhere_is_refused(tmp_path: Path) -> None:
    content = (STORED / "format_1" / "model.safetensors").read_bytes()
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors["preprocessor.offsets"] += 99
    content = safetensors.torch.save(tensors, header)
    with pytest.raises(InputError, match="it: its tensors do not fit its configuration"):
        Model.from_bytes(content, "it")


def test_weights_of_another_type_are_refused() -> None:
    content = (STORED / "format_1" / "model.safetensors").read_bytes()
    tensors = safetensors.torch.load(content)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])["__metadata__"]
    (name, *_) = (name for name in tensors if name.startswith("network."))
    tensors[name] = tensors[name].double()
    with pytest.raises(InputError, match="it: its tensors do not fit its configuration"):
        Model.from_bytes(safetensors.torch.save(tensors, header), "it")
