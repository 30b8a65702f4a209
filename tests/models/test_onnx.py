"""The graph that takes raw columns: what ONNX Runtime makes of it equals the model."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
import torch

from hpo.config.families import ModelConfig
from hpo.config.trial import Activation, DataConfig, Numeric, Task
from hpo.models.ensemble import Ensemble, EnsembleMember
from hpo.models.model import Model, Predictor, columns_of
from hpo.models.onnx import described_inputs, to_onnx
from hpo.models.program import read_program, write_program
from hpo.models.proof import Proof, prove
from hpo.training.families.family import family_of
from hpo.training.families.leaves import Embedding
from hpo.training.families.tabm import TabMConfig
from hpo.training.metrics import count_outputs
from tests.support import exact_models, models
from tests.support.families import StrangeConfig
from tests.support.models import ensemble, experiment, model

TASKS = get_args(Task)
WAYS = [(get_args(Numeric)[i % 4], kind) for i, kind in enumerate(get_args(Activation))]


def proven(folder: Path, made: models.Experiment, what: Predictor) -> Proof:
    (folder / "model.onnx").write_bytes(to_onnx(what))
    return prove(what, folder, made.held_rows(50))


@pytest.mark.parametrize("task", TASKS)
def test_every_preprocessing_and_activation_predicts_as_the_model(
    task: Task, tmp_path: Path
) -> None:
    made = experiment(task)
    for numeric, activation in WAYS:
        proof = proven(tmp_path, made, model(made, numeric, activation))
        assert list(proof.largest) == ["model.onnx"]
        assert max(proof.largest["model.onnx"].values()) < 2e-6, (numeric, activation)


EMBEDDED = [
    {"embedding": "piecewise_linear", "embedding_size": 3, "n_bins": 9, "max_one_hot": 2},
    {"embedding": "periodic", "n_frequencies": 5, "scale": True, "max_one_hot": 0},
    {"embedding": "cosine", "embedding_size": 5, "scale": True},
    {"scale": True, "max_one_hot": 1},
]


def trained(what: Model) -> Model:
    """The same with weights as after training: those of an encoding begin at 0."""
    generator = torch.Generator().manual_seed(3)
    for parameter in what.network.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) / 10
    return what


@pytest.mark.slow
@pytest.mark.parametrize("layers", EMBEDDED, ids=["piecewise_linear", "periodic", "cosine", "none"])
@pytest.mark.parametrize("numeric", get_args(Numeric))
def test_every_file_holds_the_embeddings(
    layers: dict[str, Any], numeric: Numeric, tmp_path: Path
) -> None:
    made = experiment("regression")
    what = trained(model(made, numeric, **layers))
    content = what.to_bytes()
    (tmp_path / "model.safetensors").write_bytes(content)
    if numeric == "quantile":
        write_program(what, tmp_path / "model.pt2")
    proof = proven(tmp_path, made, what)
    assert len(proof.largest) == 2 + (numeric == "quantile")
    assert max(proof.largest["model.safetensors"].values()) == 0
    onnx.checker.check_model(to_onnx(what), full_check=True)


def test_members_with_other_columns_do_not_share_features(tmp_path: Path) -> None:
    data = DataConfig(source="t.csv", target="target", task="binary", drop=("always",))
    made = models.experiment_on(models.table("binary"), data)
    parts = [trained(model(made, max_one_hot=n, embedding="periodic")) for n in (0, 65536)]
    members = [
        EnsembleMember(number=number, weight=0.5, model=part) for number, part in enumerate(parts)
    ]
    schema = made.dataset.schema
    both = Ensemble(schema=schema, metrics={"accuracy": 0.5}, members=tuple(members))
    proven(tmp_path, made, both)


@pytest.mark.parametrize("task", TASKS)
def test_an_ensemble_is_one_graph(task: Task, tmp_path: Path) -> None:
    made = experiment(task)
    proven(tmp_path, made, ensemble(made))
    graph = onnx.load(tmp_path / "model.onnx").graph
    n_searches = sum(node.op_type == "Clip" for node in graph.node)
    assert n_searches == 1  # two members share their preprocessing


def of_family(base: Model, config: ModelConfig, seed: int = 1) -> Model:
    """A model with a fresh network of a family."""
    n_outputs = count_outputs(base.schema.task, len(base.schema.classes))
    network = family_of(config).build(config, columns_of(base.preprocessor), n_outputs, seed=seed)
    return replace(base, config=replace(base.config, model=config), network=network)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mini", [False, True])
def test_tabm_predicts_as_the_model(task: Task, mini: bool, tmp_path: Path) -> None:
    made = experiment(task)
    config = TabMConfig(k=4, width=16, depth=2, activation="gelu", mini=mini)
    proof = proven(tmp_path, made, of_family(model(made), config))
    assert max(proof.largest["model.onnx"].values()) < 2e-6


@pytest.mark.parametrize("mini", [False, True])
@pytest.mark.parametrize("embedding", get_args(Embedding))
def test_model_files_hold_the_embeddings_of_tabm(
    embedding: Embedding, mini: bool, tmp_path: Path
) -> None:
    made = experiment("regression")
    config = TabMConfig(k=3, width=16, depth=2, mini=mini, embedding=embedding, n_bins=9)
    what = trained(of_family(model(made, max_one_hot=2), config))
    (tmp_path / "model.safetensors").write_bytes(what.to_bytes())
    proof = proven(tmp_path, made, what)
    assert max(proof.largest["model.safetensors"].values()) == 0
    assert max(proof.largest["model.onnx"].values()) < 2e-6
    onnx.checker.check_model(to_onnx(what), full_check=True)


@pytest.mark.slow
def test_a_program_of_torch_holds_the_embeddings_of_tabm(tmp_path: Path) -> None:
    made = experiment("regression")
    config = TabMConfig(k=3, width=16, depth=1, embedding="piecewise_linear", n_bins=9)
    what = trained(of_family(model(made, max_one_hot=2), config))
    write_program(what, tmp_path / "model.pt2")
    proof = prove(what, tmp_path, made.held_rows(50))
    assert max(proof.largest["model.pt2"].values()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_an_ensemble_may_hold_several_families(task: Task, tmp_path: Path) -> None:
    made = experiment(task)
    base = model(made)
    found = [
        base,
        of_family(base, StrangeConfig(heads=2)),
        of_family(base, StrangeConfig(), seed=2),
        of_family(base, TabMConfig(k=2, width=8)),
    ]
    members = tuple(
        EnsembleMember(number=number, weight=0.25, model=each) for number, each in enumerate(found)
    )
    mixed = Ensemble(schema=base.schema, metrics={}, members=members)
    if task != "regression":  # above is one for it
        write_program(mixed, tmp_path / "model.pt2")
    proof = proven(tmp_path, made, mixed)
    assert len(proof.largest) == 1 + (task != "regression")
    onnx.checker.check_model((tmp_path / "model.onnx").read_bytes(), full_check=True)


@pytest.mark.slow
def test_a_module_is_exported_alike_each_time() -> None:
    what = of_family(model(experiment("binary")), StrangeConfig(heads=2))
    assert to_onnx(what) == to_onnx(what)


def test_inputs_are_columns_and_outputs_are_named() -> None:
    made = experiment("multiclass")
    content = to_onnx(model(made))
    onnx.checker.check_model(content, full_check=True)
    session = onnxruntime.InferenceSession(content)
    # What is an output's name is left to the output.
    assert {node.name: (node.shape, node.type) for node in session.get_inputs()} == {
        "a column": (["rows", 1], "tensor(float)"),
        "price, €": (["rows", 1], "tensor(float)"),
        "year": (["rows", 1], "tensor(float)"),
        "prediction_": (["rows", 1], "tensor(float)"),
        ".dotted": (["rows", 1], "tensor(string)"),
        "always": (["rows", 1], "tensor(string)"),
    }
    assert {node.name: (node.shape, node.type) for node in session.get_outputs()} == {
        "prediction": (["rows"], "tensor(int64)"),
        "probabilities": (["rows", 3], "tensor(float)"),
    }
    about = session.get_modelmeta().custom_metadata_map
    assert (about["format"], about["task"], about["classes"]) == (
        "2",
        "multiclass",
        '["0", "1", "2"]',
    )


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_no_rows_are_no_predictions(task: Task) -> None:
    session = onnxruntime.InferenceSession(to_onnx(model(experiment(task))))
    feeds = {
        node.name: np.empty((0, 1), np.float32 if node.type == "tensor(float)" else object)
        for node in session.get_inputs()
    }
    assert [len(output) for output in session.run(None, feeds)] == [0] * len(session.get_outputs())


def test_the_same_model_gives_the_same_bytes() -> None:
    made = experiment("binary")
    assert to_onnx(ensemble(made)) == to_onnx(ensemble(made))


def test_runtimes_since_1_17_read_it() -> None:
    made = onnx.load_from_string(to_onnx(model(experiment("binary"))))
    opsets = {opset.domain: opset.version for opset in made.opset_import}
    assert (made.ir_version, opsets) == (8, {"": 17, "ai.onnx.ml": 3})


@pytest.mark.parametrize("numeric", get_args(Numeric))
def test_nothing_in_a_graph_is_for_nothing(numeric: Numeric) -> None:
    """ONNX Runtime warns each who loads one of what nothing uses."""
    made = experiment("binary")
    for what in (model(made, numeric), ensemble(made)):
        graph = onnx.load_from_string(to_onnx(what)).graph
        used = {name for node in graph.node for name in node.input}
        given = {constant.name for constant in graph.initializer}
        given |= {name for node in graph.node for name in node.output}
        assert given - used == {"prediction"}


def feeds_of(what: Predictor, rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Raw cells, named and typed as `schema.json` says."""
    feeds = {}
    for column, said in described_inputs(what.schema).items():
        cells = rows[column]
        if said["type"] == "string":
            values = np.array(cells.fill_null("").to_list(), dtype=object)
        else:
            numbers = (
                cells.cast(pl.Datetime("us")).cast(pl.Int64) if cells.dtype == pl.Date else cells
            )
            numbers = numbers.cast(pl.Int64) if cells.dtype == pl.Datetime else numbers
            kind = np.float64 if said["type"] == "double" else np.float32
            values = numbers.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(kind)
        feeds[said["name"]] = values[:, None]
    return feeds


@pytest.mark.slow
@pytest.mark.parametrize("kind", exact_models.LABELS)
def test_dates_long_numbers_and_typed_labels_are_taken_as_they_are(
    kind: str, tmp_path: Path
) -> None:
    made = exact_models.experiment(kind)
    for what in (model(made, "quantile"), model(made, "standard", "silu"), ensemble(made)):
        proof = proven(tmp_path, made, what)
        assert max(proof.largest["model.onnx"].values()) < 5e-6
        rows, session = made.held_rows(40), onnxruntime.InferenceSession(tmp_path / "model.onnx")
        prediction, *probabilities = session.run(None, feeds_of(what, rows))
        expected = what.predict(rows)
        dtypes = {"text": object, "integer": "i8", "number": "f8", "boolean": "?", "double": "f8"}
        assert prediction.dtype == dtypes.get(kind, "f4")
        if probabilities:
            assert prediction.tolist() == expected["prediction"].to_list()
            assert np.allclose(probabilities[0], expected[:, 1:].to_numpy(), atol=1e-6)
        else:
            spread = what.parts[0][1].scale.std
            assert np.abs(prediction - expected["prediction"].to_numpy()).max() < 1e-5 * spread


def test_types_and_names_of_inputs_are_those_that_are_said() -> None:
    what = model(exact_models.experiment("text"))
    said = described_inputs(what.schema)
    assert said == {
        "sold, at": {"name": "sold, at", "type": "double"},
        "day": {"name": "day", "type": "double"},
        "prediction": {"name": "prediction__", "type": "double"},
        "probabilities": {"name": "probabilities_", "type": "string"},
        "prediction_": {"name": "prediction_", "type": "float"},
        "size": {"name": "size", "type": "float"},
    }
    session = onnxruntime.InferenceSession(to_onnx(what))
    assert {node.name: node.type for node in session.get_inputs()} == {
        each["name"]: f"tensor({each['type']})" for each in said.values()
    }


def test_dates_go_through_the_cycles_that_they_hold() -> None:
    schema = exact_models.experiment("float").dataset.schema
    cycles = {column.name: column.cycles for column in schema.dates}
    assert cycles == {"sold, at": ("day", "week", "year"), "day": ("week",)}


@pytest.mark.slow
def test_a_program_of_torch_takes_dates_and_long_numbers(tmp_path: Path) -> None:
    for kind in ("integer", "double"):
        made = exact_models.experiment(kind)
        what = model(made, "quantile") if kind == "integer" else ensemble(made)
        write_program(what, tmp_path / "model.pt2")
        proof = prove(what, tmp_path, made.held_rows(50))
        assert max(proof.largest["model.pt2"].values()) < 1e-6
        encoded = what.schema.encode(made.held_rows(7))
        assert encoded.x_num.dtype == torch.float64
        found = read_program(tmp_path / "model.pt2")(*encoded)
        assert torch.allclose(found, what.outputs(*encoded), rtol=1e-12, atol=1e-7)
