"""A model family and a metric of one's own: the documentation's files in installed packages."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import polars
import pytest
import tomli_w

from tests.support import documentation
from tests.support.families import install
from tests.support.paths import ROOT

FAMILY_PAGE, METRIC_PAGE = ROOT / "docs/model-families.md", ROOT / "docs/metrics-and-losses.md"
STUDY = {
    "name": "mine",
    "search_space": {
        "model": {
            "family": {"type": "categorical", "choices": ["residual", "mlp"]},
            "blocks": {"type": "int", "low": 1, "high": 2},
            "width": {"type": "categorical", "choices": [16, 32]},
        },
        "training": {"max_epochs": 3, "batch_size": 64},
    },
    "data": {"source": "table.csv", "target": "y"},
    "objective": {"metric": "within_10_percent"},
    "budget": {"n_trials": 4},
}


def hpo(folder: Path, *words: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, with the packages of `site` installed."""
    places = {"HPO_STORAGE": f"sqlite:///{folder}/hpo.db", "HPO_ARTIFACTS": f"{folder}/kept"}
    environment = {**os.environ, **places}
    if site:
        environment["PYTHONPATH"] = os.pathsep.join([str(site), os.environ["PYTHONPATH"]])
    command = [sys.executable, "-m", "hpo", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the family."""
    folder = tmp_path_factory.mktemp("family")
    install_from(FAMILY_PAGE, folder, "hpo-residual")
    return folder


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the metric."""
    folder = tmp_path_factory.mktemp("metric")
    install_from(METRIC_PAGE, folder, "hpo-within")
    return folder


@pytest.fixture(scope="module")
def both(family: Path, metric: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both packages."""
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(family, folder, dirs_exist_ok=True)
    shutil.copytree(metric, folder, dirs_exist_ok=True)
    return folder


def install_from(page: Path, site: Path, package: str) -> None:
    """Install the package that a page describes."""
    (code,) = documentation.blocks(page, "python")
    (entry_point,) = documentation.blocks(page, "ini")
    group, point = entry_point.text.strip().splitlines()
    name, value = (word.strip(' "') for word in point.split("="))
    module = value.partition(":")[0]
    install(site, package, {name: value}, group.split('"')[1], **{module: code.text})


@pytest.fixture(scope="module")
def folder(both: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the family was searched, beside the MLP."""
    folder = tmp_path_factory.mktemp("study")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 3))
    table = polars.DataFrame({f"x{i}": x[:, i] for i in range(3)})
    colours = np.array(["red", "blue"])[generator.integers(0, 2, 300)]
    table = table.with_columns(
        colour=polars.Series(colours), y=polars.Series(9 + np.sin(x[:, 0]) + (colours == "red"))
    )
    table.write_csv(folder / "table.csv")
    (folder / "mine.toml").write_text(tomli_w.dumps(STUDY))
    run = hpo(folder, "run", "mine.toml", "--workers", "1", "--gpus", "none", site=both)
    assert run.returncode == 0, run.stderr
    return folder


@pytest.mark.slow
def test_it_is_searched_exported_and_predicts_alike_everywhere(folder: Path, both: Path) -> None:
    rows = json.loads(hpo(folder, "leaderboard", "mine", "--json", site=both).stdout)
    own = [row for row in rows if row["params"]["model.family"] == "residual"]
    assert own
    assert all("model.blocks" in row["params"] for row in own)
    number = str(own[0]["number"])
    export = hpo(folder, "export", "mine", "--trial", number, "--out", "out", site=both)
    assert export.returncode == 0, export.stderr
    out = export.stdout.splitlines()[0]
    assert "residual (blocks" in (folder / out / "README.md").read_text()
    assert 'family = "residual"' in (folder / out / "config.toml").read_text()
    predict = hpo(folder, "predict", out, "table.csv", "--out", "p.csv", site=both)
    assert predict.returncode == 0, predict.stderr
    expected = polars.read_csv(folder / "p.csv")["prediction"].to_numpy()
    table = polars.read_csv(folder / "table.csv")
    session = onnxruntime.InferenceSession(folder / out / "model.onnx")
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
    feeds = {
        node.name: table[node.name].to_numpy().astype(types[node.type])[:, None]
        for node in session.get_inputs()
    }
    (found,) = session.run(None, feeds)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    truth = table["y"].to_numpy()
    share = (np.abs(expected - truth) <= 0.1 * np.abs(truth)).mean()
    assert 0 < own[0]["value"] < 1
    assert share == pytest.approx(own[0]["value"], abs=0.2)  # of all rows
    again = hpo(folder, "train", f"{out}/config.toml", "--out", "again", site=both)
    assert again.returncode == 0, again.stderr


@pytest.mark.slow
def test_without_a_package_the_message_names_it_and_other_studies_go_on(
    folder: Path, family: Path, metric: Path
) -> None:
    other = {
        **STUDY,
        "name": "other",
        "objective": {"metric": "rmse"},
        "search_space": {"model": {"depth": 1, "width": 8}},
    }
    other["search_space"]["model"]["dropout"] = {"type": "float", "low": 0.0, "high": 0.5}
    other["search_space"]["training"] = {"max_epochs": 1}
    other["budget"] = {"n_trials": 1}
    (folder / "other.toml").write_text(tomli_w.dumps(other))
    run = hpo(folder, "run", "other.toml", "--workers", "1", "--gpus", "none")
    assert run.returncode == 0, run.stderr
    status = hpo(folder, "status", "mine", site=family)
    assert status.returncode == 2
    said = " ".join(status.stderr.split())
    assert 'the metric "within_10_percent" is not installed' in said
    assert "it is part of the package hpo-within" in said
    status = hpo(folder, "status", "mine")
    assert status.returncode == 2
    assert 'the model family "residual" is not installed' in status.stderr
    assert "it is part of the package hpo-residual" in " ".join(status.stderr.split())
    worker = hpo(folder, "worker", "mine", "--workers", "1", "--gpus", "none")
    assert worker.returncode == 2
    assert 'the model family "residual" is not installed' in " ".join(worker.stderr.split())
    other_status = hpo(folder, "status", "other")
    assert other_status.returncode == 0, other_status.stderr
    assert "other" in other_status.stdout
    exported = [
        path.parent
        for path in folder.rglob("config.toml")
        if 'family = "residual"' in path.read_text()
    ]
    assert exported
    predict = hpo(folder, "predict", str(exported[0]), "table.csv", "--out", "q.csv", site=family)
    assert predict.returncode == 2
    said = " ".join(predict.stderr.split())
    assert 'the metric "within_10_percent" is not installed' in said
    assert "the metric is part of the package hpo-within" in said
    predict = hpo(folder, "predict", str(exported[0]), "table.csv", "--out", "q.csv", site=metric)
    assert predict.returncode == 2
    said = " ".join(predict.stderr.split())
    assert 'the model family "residual" is not installed' in said
    assert "the model family is part of the package hpo-residual" in said
