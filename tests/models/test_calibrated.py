"""Every file of a calibrated model predicts its probabilities and its labels."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hpo.config.errors import ExportError, InputError
from hpo.config.trial import Calibration, ObjectiveConfig
from hpo.models.ensemble import Ensemble, as_logits
from hpo.models.experiment import Experiment
from hpo.models.folder import write_model
from hpo.models.loading import load_model
from hpo.models.model import Model, Predictor, columns_of
from hpo.models.onnx import to_onnx
from hpo.models.program import PredictorModule
from hpo.models.proof import prove
from hpo.training.families.family import family_of
from hpo.training.families.tabm import TabMConfig
from tests.support.models import ensemble, experiment, model

FITTED = Calibration(temperature=3.5, threshold=0.4)


@pytest.fixture(scope="module")
def made() -> Experiment:
    return experiment("binary")


def calibrated(what: Predictor, task: str = "binary") -> Predictor:
    """The same with a temperature and, for two classes, a threshold."""
    return replace(
        what, calibration=FITTED if task == "binary" else replace(FITTED, threshold=None)
    )


def tabm(base: Model) -> Model:
    """A network with heads."""
    config = TabMConfig(k=3, width=8)
    n_outputs = base.network.output.out_features
    network = family_of(config).build(config, columns_of(base.preprocessor), n_outputs, seed=1)
    return replace(base, config=replace(base.config, model=config), network=network)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_logits_are_divided_in_every_file(task: str, tmp_path: Path) -> None:
    made = experiment(task)
    encoded = made.dataset.schema.encode(made.held_rows(50))
    for raw in (model(made), tabm(model(made)), ensemble(made)):
        what = calibrated(raw, task)
        logarithms = raw.outputs(*encoded).double().log()
        expected = torch.softmax(logarithms / FITTED.temperature, dim=1)
        assert torch.allclose(what.outputs(*encoded).double(), expected, atol=1e-6)
        as_program = PredictorModule(what).eval()(*encoded)
        assert as_program.dtype == torch.float32
        assert torch.allclose(as_program.double(), expected, atol=1e-6)
        (tmp_path / "model.onnx").write_bytes(content := to_onnx(what))
        (tmp_path / "model.safetensors").write_bytes(what.to_bytes())
        proof = prove(what, tmp_path, made.held_rows(50))
        assert max(proof.largest["model.onnx"].values()) < 2e-6
        assert max(proof.largest["model.safetensors"].values()) == 0
        assert load_model(tmp_path).calibration == what.calibration
        onnx.checker.check_model(content, full_check=True)


def test_labels_follow_the_threshold(made: Experiment, tmp_path: Path) -> None:
    rows = made.held_rows(60)
    for raw in (model(made), ensemble(made)):
        what = calibrated(raw)
        found = what.predict(rows)
        negative, positive = what.schema.classes
        above = found[f"probability_{positive}"].cast(float) > FITTED.threshold
        assert found["prediction"].to_list() == [positive if yes else negative for yes in above]
        assert found["prediction"].to_list() != raw.predict(rows)["prediction"].to_list()
        # The metrics of a part follow it too.
        truth = made.dataset.part("test").y.numpy()
        held = what.outputs(*made.dataset.part("test")[:2])[:, 1].double().numpy()
        accuracy = ((held > FITTED.threshold) == truth).mean()
        assert made.test_metrics(what)["accuracy"] == pytest.approx(accuracy)


def test_a_graph_with_another_threshold_is_no_export(
    made: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = calibrated(model(made))
    content = to_onnx(replace(what, calibration=replace(FITTED, threshold=0.6)))
    monkeypatch.setattr("hpo.models.onnx.to_onnx", lambda _: content)
    with pytest.raises(ExportError, match=r"model\.onnx does not predict like the model"):
        write_model(tmp_path / "it", what, {}, "Title", "Note.", held=made.held_rows(50))


def test_a_card_and_a_schema_name_temperature_and_threshold(
    made: Experiment, tmp_path: Path
) -> None:
    what = calibrated(model(made))
    write_model(tmp_path / "it", what, {}, "Title", "Note.", held=made.held_rows(50))
    card = (tmp_path / "it/README.md").read_text(encoding="utf-8")
    assert "Its probabilities are calibrated by the temperature 3.5." in card
    assert f"It predicts {what.schema.classes[1]} where its probability is above 0.4." in card
    assert '"threshold": 0.4' in (tmp_path / "it/schema.json").read_text(encoding="utf-8")


def test_only_a_calibrated_file_has_the_newer_format(made: Experiment) -> None:
    raw, mixed = model(made), ensemble(made)
    assert (raw.format, mixed.format) == (1, 2)
    assert (calibrated(raw).format, calibrated(mixed).format) == (4, 5)
    # A member's own calibration does not enter the mean, and is kept.
    first = mixed.members[0]
    own = (replace(first, model=calibrated(first.model)), *mixed.members[1:])
    again = Ensemble.from_bytes(replace(mixed, members=own).to_bytes(), "it")
    assert again.format == 2
    assert again.members[0].model.calibration == FITTED
    rows = made.held_rows(20)
    assert again.predict(rows).equals(mixed.predict(rows))


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ('{"temperature": 0}', "calibration: temperature: input should be greater than 0"),
        ('{"threshold": 2}', "calibration: threshold: input should be less than or equal to 1"),
        ("[]", "calibration: input should be"),
    ],
)
def test_a_damaged_calibration_is_refused(
    tree: str, sentence: str, made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = calibrated(model(made))
    header = {**what.header(), "calibration": tree}
    monkeypatch.setattr(Model, "header", lambda _: header)
    with pytest.raises(InputError, match=f"^it: {sentence}"):
        Model.from_bytes(what.to_bytes(), "it")


def test_an_ensemble_is_calibrated_as_a_whole(made: Experiment) -> None:
    mixed = ensemble(made)
    objective = ObjectiveConfig(metric="f1", calibrate="temperature", threshold="tuned")
    found = replace(mixed, calibration=made.calibration(mixed, objective))
    assert found.calibration.temperature != 1
    before, after = made.validation_metrics(mixed), made.validation_metrics(found)
    assert after["log_loss"] < before["log_loss"]
    assert after["f1"] > before["f1"]
    part = made.dataset.part("val")
    exact = found.logits(part.x_num, part.x_cat)
    assert torch.allclose(exact * found.calibration.temperature, mixed.logits(*part[:2]))
    faint = as_logits("binary", torch.tensor([[1.0, 0.0]]).double())
    assert math.isfinite(float(faint / found.calibration.temperature))
    assert np.isfinite(after["log_loss"])
