"""What a model card promises to those who have onnxruntime and nothing else."""

import csv
import re
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import polars
import pytest

from hpo.config.trial import DataConfig
from hpo.models.folder import write_model
from tests.support import exact_models
from tests.support.command_line import hpo
from tests.support.models import ensemble, experiment, experiment_on, model

pytestmark = pytest.mark.slow

ABSENT = """
import importlib.util
assert not any(map(importlib.util.find_spec, ("torch", "hpo", "polars", "safetensors", "onnx")))
"""
SHOW = """
import sys
sys.stdout.reconfigure(encoding="utf-8")
for i in range(len(rows)):
    csv.writer(sys.stdout).writerow([prediction[i], *probabilities[i]])
"""
SHOW_NUMBERS = """
for number in prediction:
    print(repr(float(number)))
"""


def required(name: str) -> set[str]:
    """A distribution and all that it needs."""
    lines = [line for line in metadata.requires(name) or [] if "extra ==" not in line]
    needed = [required(re.split(r"[^\w-]", line)[0]) for line in lines]
    return {name}.union(*needed)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with onnxruntime and what it requires: as pip makes it, but by links."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    (there,) = folder.glob("lib/python*/site-packages")
    for name in required("onnxruntime"):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            (there / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


def run_card(python: Path, rows: polars.DataFrame) -> list[list[str]]:
    """What the code on the card of `model` prints of some rows."""
    rows.write_csv("rows.csv")
    card = Path("model/README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import csv.*?)```", card, re.S)
    show = SHOW if "probabilities" in code.splitlines()[-1] else SHOW_NUMBERS
    done = subprocess.run(
        [python, "-I", "-W", "error", "-c", ABSENT + code + show],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(csv.reader(done.stdout.splitlines()))


def run_hpo() -> polars.DataFrame:
    """What `hpo predict` makes of them, as text."""
    assert hpo("predict", "model", "rows.csv", "--out", "predictions.csv").code == 0
    return polars.read_csv("predictions.csv", infer_schema=False)


def test_the_code_on_the_card_predicts_as_hpo_predict_does(
    bare_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = experiment("multiclass")
    metrics = {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.5}}
    write_model(Path("model"), ensemble(made), metrics, "T", "N.", held=made.held_rows(50))
    found, expected = run_card(bare_python, made.held_rows(80)), run_hpo()
    assert [cells[0] for cells in found] == expected["prediction"].to_list()
    numbers = np.array([cells[1:] for cells in found], dtype="f8")
    assert np.allclose(numbers, expected[:, 1:].to_numpy().astype("f8"), atol=1e-6)


@pytest.mark.parametrize("kind", exact_models.LABELS)
def test_it_does_so_of_dates_truth_long_numbers_and_labels_of_every_type(
    kind: str, bare_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = exact_models.experiment(kind)
    what = ensemble(made) if kind in ("text", "double") else model(made)
    name = "accuracy" if what.schema.classes else "rmse"
    metrics = {"validation": {name: 0.75}, "test": {name: 0.5}}
    write_model(Path("model"), what, metrics, "T", "N.", held=made.held_rows(50))
    found, expected = run_card(bare_python, made.held_rows(80)), run_hpo()
    if not what.schema.classes:
        apart = np.array(found, "f8")[:, 0] - expected["prediction"].to_numpy().astype("f8")
        assert np.abs(apart).max() < 1e-5 * what.parts[0][1].scale.std
        return
    labels = [cells[0].lower() if kind == "boolean" else cells[0] for cells in found]
    assert labels == expected["prediction"].to_list()
    assert len(set(labels)) > 1
    numbers = np.array([cells[1:] for cells in found], dtype="f8")
    assert np.allclose(numbers, expected[:, 1:].to_numpy().astype("f8"), atol=1e-6)


def test_it_takes_times_of_day(
    bare_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    minutes = [i * 17 % 1440 for i in range(200)]
    frame = polars.DataFrame(
        {
            "at": ["" if i == 3 else f"{m // 60:02}:{m % 60:02}" for i, m in enumerate(minutes)],
            "target": [m * 0.5 for m in minutes],
        }
    )
    made = experiment_on(frame, DataConfig(source="t.csv", target="target", task="regression"))
    metrics = {"validation": {"rmse": 0.75}, "test": {"rmse": 0.5}}
    write_model(Path("model"), model(made), metrics, "T", "N.", held=made.held_rows(50))
    found, expected = run_card(bare_python, frame[:50]), run_hpo()
    assert np.allclose(
        np.array(found, "f8")[:, 0], expected["prediction"].to_numpy().astype("f8"), rtol=1e-5
    )
