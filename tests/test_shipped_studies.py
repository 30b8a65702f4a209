"""Each study and each search space that is shipped, searched in small from end to end."""

import json
import re
from pathlib import Path

import polars
import pytest
from sklearn import metrics

from tests.support.command_line import hpo, run_process
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

N_TRIALS = 3


def in_small(study: str, space: str, folder: Path) -> Path:
    """The study's file in another folder: few trials of few epochs, over the named space."""
    text = (ROOT / "studies" / f"{study}.toml").read_text(encoding="utf-8")
    for pattern, small in (
        (r"n_trials = \d+", f"n_trials = {N_TRIALS}"),
        (r"\[training\]\n(max_epochs = \d+\n)?", "[training]\nmax_epochs = 2\n"),
        (r'search_space = "\w+"', f'search_space = "{space}"'),
        (r'source = "data/', f'source = "{ROOT}/studies/data/'),
    ):
        text, n_found = re.subn(pattern, small, text)
        assert n_found == 1 or "data/" in pattern
    path = folder / f"{study}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def searched(study: str, space: str, folder: Path) -> Path:
    """Where `hpo run` left the best trial."""
    file = in_small(study, space, folder)
    done = run_process("run", file, "--workers", 1, "--top", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"{N_TRIALS}/{N_TRIALS} trials" in done.stderr
    (best,) = (folder / "winners").glob("*/trial-*")
    return best


def predicted(model: Path, table: polars.DataFrame) -> polars.DataFrame:
    """Predictions of `hpo predict`."""
    rows, out = model.parent / "rows.csv", model.parent / "predictions.parquet"
    table.write_csv(rows)
    done = hpo("predict", model, rows, "--out", out)
    assert done.code == 0, done.err
    return polars.read_parquet(out)


def test_california_housing(tmp_path: Path) -> None:
    best = searched("california_housing", "mlp", tmp_path)
    test = polars.read_parquet(ROOT / "studies/data/california_housing.parquet").filter(
        split="test"
    )
    predictions = predicted(best, test.drop("MedHouseVal", "split"))
    error = metrics.root_mean_squared_error(test["MedHouseVal"], predictions["prediction"])
    written = json.loads((best / "metrics.json").read_text())
    assert error == pytest.approx(written["test"]["rmse"], rel=1e-4)
    assert error < 0.8


def test_adult(tmp_path: Path) -> None:
    best = searched("adult", "mlp", tmp_path)
    test = polars.read_parquet(ROOT / "studies/data/adult.parquet").filter(split="test")
    predictions = predicted(best, test.drop("income", "split"))
    accuracy = metrics.accuracy_score(test["income"], predictions["prediction"])
    written = json.loads((best / "metrics.json").read_text())
    assert accuracy == pytest.approx(written["test"]["accuracy"], abs=1e-4)
    assert accuracy > 0.82


@pytest.mark.parametrize("space", ["mlp_small", "mlp_plain", "tabm_mlp"])
def test_digits(tmp_path: Path, space: str) -> None:
    best = searched("digits", space, tmp_path)
    rows = polars.DataFrame({f"pixel_{i}_{j}": [0.0, 7.5] for i in range(8) for j in range(8)})
    predictions = predicted(best, rows)
    assert predictions.columns == ["prediction", *(f"probability_{digit}" for digit in range(10))]
    assert predictions.drop("prediction").sum_horizontal().to_list() == pytest.approx([1.0, 1.0])
