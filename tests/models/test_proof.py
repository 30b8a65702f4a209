"""Exports that would predict something else are not written, and the message says where."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hpo.models.onnx
import hpo.models.onnx_graph
from hpo.config.errors import ExportError
from hpo.config.trial import Calibration
from hpo.data.schema import Categories, TableSchema
from hpo.models.folder import write_model
from hpo.models.model import Model
from hpo.models.program import PredictorModule
from hpo.models.proof import prove
from hpo.training.targets import TargetScale
from tests.support.models import Experiment, experiment, model

METRICS = {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.5}}


@pytest.fixture(scope="module")
def made() -> Experiment:
    return experiment("binary")


def write(folder: Path, made: Experiment, what: Model, **options: Any) -> None:
    write_model(folder, what, METRICS, "Title", "A note.", held=made.held_rows(50), **options)


def with_one_spelling_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_itself(schema: TableSchema, column: Categories) -> dict[str, int]:
        return {value: code for code, value in enumerate(column.values)}

    codes = hpo.models.onnx._codes

    def poor(graph: Any, schema: TableSchema, *rest: Any) -> str:
        with monkeypatch.context() as during:
            during.setattr(TableSchema, "spellings", only_itself)
            return codes(graph, schema, *rest)

    monkeypatch.setattr(hpo.models.onnx, "_codes", poor)


def with_missing_as_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    add = hpo.models.onnx_graph.Graph.add

    def blind(graph: Any, operator: str, *inputs: str, **options: Any) -> str:
        return add(graph, "IsInf" if operator == "IsNaN" else operator, *inputs, **options)

    monkeypatch.setattr(hpo.models.onnx_graph.Graph, "add", blind)


def with_no_end_of_the_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    add = hpo.models.onnx_graph.Graph.add

    def endless(graph: Any, operator: str, *inputs: str, **options: Any) -> str:
        return inputs[0] if operator == "Clip" else add(graph, operator, *inputs, **options)

    monkeypatch.setattr(hpo.models.onnx_graph.Graph, "add", endless)


def with_labels_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    add = hpo.models.onnx_graph.Graph.add

    def swapped(graph: Any, operator: str, *inputs: str, **options: Any) -> str:
        return add(graph, "ArgMin" if operator == "ArgMax" else operator, *inputs, **options)

    monkeypatch.setattr(hpo.models.onnx_graph.Graph, "add", swapped)


@pytest.mark.parametrize(
    ("spoil", "where"),
    [
        (with_one_spelling_only, r'known category in ("\.dotted"|2 columns)'),
        (with_missing_as_zero, "held rows"),
        (with_no_end_of_the_quantiles, "extreme number in .*"),
        (with_labels_swapped, ".*"),
    ],
)
def test_a_graph_that_predicts_otherwise_is_no_export(
    spoil: Callable[[pytest.MonkeyPatch], None],
    where: str,
    made: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    what = model(made)
    write(tmp_path / "model", made, what)
    before = (tmp_path / "model/model.onnx").read_bytes()
    spoil(monkeypatch)
    with pytest.raises(
        ExportError,
        match=rf"model: not written: model\.onnx does not predict like the model: "
        rf"with ({where}) the difference is [\w.-]+, and at most 1e-05 is allowed",
    ):
        write(tmp_path / "model", made, what)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model/model.onnx").read_bytes() == before


def test_damaged_weights_are_no_export(
    made: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, other = model(made), model(made, seed=1)
    content = other.to_bytes()
    monkeypatch.setattr(Model, "to_bytes", lambda self: content)
    with pytest.raises(
        ExportError, match=r"not written: model\.safetensors does not predict like the model"
    ):
        write(tmp_path / "model", made, right)
    assert list(tmp_path.iterdir()) == []


def test_float32s_own_rounding_is_no_mistake(tmp_path: Path) -> None:
    made = experiment("regression")
    what = model(made, "quantile", "tanh", depth=24)
    with torch.no_grad():  # layer after layer magnifies what is rounded off
        for layer in what.network.hidden:
            layer.weight *= 6
    (tmp_path / "model.onnx").write_bytes(hpo.models.onnx.to_onnx(what))
    proof = prove(what, tmp_path, made.held_rows(50))
    assert max(proof.largest["model.onnx"].values()) > proof.tolerance


def test_values_beyond_float32_are_no_mistake_of_a_file_that_computes_in_it(tmp_path: Path) -> None:
    made = experiment("regression")
    what = replace(model(made, "standard"), scale=TargetScale(0.0, 1e36))
    (tmp_path / "model.onnx").write_bytes(hpo.models.onnx.to_onnx(what))
    proof = prove(what, tmp_path, made.held_rows(50))
    assert proof.largest["model.onnx"]["extreme number"] < proof.tolerance


@pytest.mark.parametrize("scale", [TargetScale(2.0, 1.5, "log1p"), TargetScale(0.5, 1.0, "log")])
def test_every_file_undoes_the_link_of_the_target(scale: TargetScale, tmp_path: Path) -> None:
    made = experiment("regression")
    what = replace(model(made), scale=scale)
    (tmp_path / "model.onnx").write_bytes(hpo.models.onnx.to_onnx(what))
    (tmp_path / "model.safetensors").write_bytes(what.to_bytes())
    proof = prove(what, tmp_path, made.held_rows(50))
    assert all(max(far.values()) < 1e-4 for far in proof.largest.values())
    encoded = what.schema.encode(made.held_rows(50))
    plain = replace(what, scale=replace(scale, link="identity")).outputs(*encoded)
    expected = plain.exp() if scale.link == "log" else plain.expm1()
    torch.testing.assert_close(what.outputs(*encoded), expected)
    torch.testing.assert_close(PredictorModule(what)(*encoded), expected)


@pytest.mark.slow
def test_a_program_of_torch_export_is_written_on_request(made: Experiment, tmp_path: Path) -> None:
    plain = model(made)
    encoded = plain.schema.encode(made.held_rows(40))
    hot = replace(plain, calibration=Calibration(temperature=2.0))
    middle = hot.outputs(*encoded)[:, 1].double().quantile(0.5).item()
    what = replace(plain, calibration=Calibration(temperature=2.0, threshold=middle))
    write(tmp_path / "model", made, what, torch_program=True)
    program = torch.export.load(tmp_path / "model/model.pt2").module()
    probabilities, classes = program(*encoded)
    assert np.allclose(probabilities.detach(), what.outputs(*encoded), atol=1e-6)
    assert set(classes.tolist()) == {0, 1}
    assert classes.tolist() == what.predicted_classes(probabilities).tolist()
    assert "`model.pt2`" in (tmp_path / "model/README.md").read_text(encoding="utf-8")
