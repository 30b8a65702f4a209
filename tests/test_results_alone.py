"""What a model card promises to those who have onnxruntime and nothing else."""

import re
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import numpy as np
import polars
import pytest

from hpo.results.folder import write_model
from tests.command_line import hpo
from tests.model_cases import ensemble, experiment

ABSENT = """
import importlib.util
assert not any(map(importlib.util.find_spec, ("torch", "hpo", "polars", "safetensors", "onnx")))
"""
SHOW = """
for i in range(len(rows)):
    print(prediction[i], *probabilities[i], sep=",")
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


def test_the_code_on_the_card_predicts_as_hpo_predict_does(
    bare_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = experiment("multiclass")
    metrics = {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.5}}
    rows = made.held_rows(80).drop("prediction").with_columns(prediction_=5.0)
    write_model(Path("model"), ensemble(made), metrics, "T", "N.", held=made.held_rows(50))
    rows.write_csv("rows.csv")
    rows.rename({"prediction_": "prediction"}).write_csv("for_hpo.csv")
    card = Path("model/README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import csv.*?)```", card, re.S)
    done = subprocess.run(
        [bare_python, "-I", "-c", ABSENT + code + SHOW],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert hpo("predict", "model", "for_hpo.csv", "--out", "predictions.csv").code == 0
    expected = polars.read_csv("predictions.csv")
    found = [line.split(",") for line in done.stdout.splitlines()]
    assert [int(cells[0]) for cells in found] == expected["prediction"].to_list()
    numbers = np.array([cells[1:] for cells in found], dtype="f8")
    assert np.allclose(numbers, expected[:, 1:].to_numpy(), atol=1e-6)
