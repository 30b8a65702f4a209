"""One study over both built-in families, which share the leaves of their inputs."""

from pathlib import Path

import numpy as np
import polars
import pytest
import tomli_w

import hpo

STUDY = {
    "name": "mixed",
    "search_space": {
        "preprocessing": {"max_one_hot": {"type": "categorical", "choices": [2, 100]}},
        "model": {
            "family": {"type": "categorical", "choices": ["mlp", "tabm"]},
            "width": 8,
            "embedding": {
                "type": "categorical",
                "choices": ["none", "piecewise_linear", "periodic"],
            },
            "embedding_size": {"type": "int", "low": 2, "high": 4},
            "n_bins": {
                **{"type": "int", "low": 4, "high": 8},
                "when": {"model.embedding": "piecewise_linear"},
            },
            "scale": {"type": "categorical", "choices": [True, False]},
            "k": {"type": "categorical", "choices": [2, 4]},
            "mini": {"type": "categorical", "choices": [True, False]},
        },
    },
    "data": {"source": "table.csv", "target": "y"},
    "objective": {"metric": "rmse"},
    "training": {"max_epochs": 2},
    "sampler": {"name": "random", "seed": 1},
    "pruner": {"name": "none"},
    "budget": {"n_trials": 10},
}


@pytest.mark.slow
def test_mlp_and_tabm_are_searched_in_one_study(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, code = generator.normal(size=(300, 2)), generator.integers(0, 5, 300)
    table = polars.DataFrame({"a": x[:, 0], "b": x[:, 1], "code": [f"c{each}" for each in code]})
    table = table.with_columns(y=polars.Series(np.sin(2 * x[:, 0]) + code))
    table.write_csv(tmp_path / "table.csv")
    (tmp_path / "mixed.toml").write_text(tomli_w.dumps(STUDY))
    places = {"storage": f"sqlite:///{tmp_path}/hpo.db", "artifacts": str(tmp_path / "artifacts")}
    results = hpo.run(tmp_path / "mixed.toml", workers=1, gpus="none", **places)
    assert results.status.counts == {"COMPLETE": 10}
    board = results.leaderboard()
    assert set(board["model.family"]) == {"mlp", "tabm"}
    tabm = board.filter(polars.col("model.family") == "tabm")
    mlp = board.filter(polars.col("model.family") == "mlp")
    for rows in (tabm, mlp):
        assert rows["model.embedding"].n_unique() > 1
        is_piecewise = rows["model.embedding"] == "piecewise_linear"
        assert (rows["model.n_bins"].is_not_null() == is_piecewise).all()
    assert tabm["model.scale"].is_null().all()
    assert mlp.select("model.k", "model.mini").null_count().row(0) == (len(mlp), len(mlp))
    embedded = tabm.filter(
        (polars.col("preprocessing.max_one_hot") == 2) & (polars.col("model.embedding") != "none")
    )
    (folder,) = results.export(tmp_path / "out", trials=[embedded["number"][0]])
    predicted = hpo.load_model(folder).predict(table)
    assert np.isfinite(predicted["prediction"].to_numpy()).all()
    assert "TabM" in (folder / "README.md").read_text()
