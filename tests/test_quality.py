"""The table of `scripts/bench quality`: the models of a search, as they are exported."""

import json
import sys
import threading
from pathlib import Path

import pytest

from hpo.lifecycle.creation import create_from_file
from hpo.results.export import export
from hpo.results.report.comparison import Models
from hpo.training.single import SingleTrainer
from tests.support.paths import ROOT
from tests.support.workers import STUDY, make_worker

sys.path.append(str(ROOT / "scripts"))
from benches import quality
from benches.boosting import Measured


@pytest.mark.slow
def test_models_of_a_search_have_the_metrics_of_their_exports(tmp_path: Path) -> None:
    rows = [f"{i % 13},{(i * 7) % 29},{i % 13 * 0.5 + i % 29}" for i in range(200)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,y", *rows]))
    text = STUDY.format(name="small", n_trials=3, max_epochs=2, high=1e-1)
    (tmp_path / "small.toml").write_text(text)
    places = f"sqlite:///{tmp_path}/hpo.db", f"{tmp_path}/artifacts"
    created = create_from_file(tmp_path / "small.toml", *places)
    study, store = created.study, created.store
    make_worker(study, store, SingleTrainer("cpu")).work(threading.Event())
    models = Models(study=study, store=store, experiment=created.experiment)
    *_, missing = quality.searched(models, tmp_path)
    assert missing == Measured("ensemble: not exported", {}, None)

    export(created, tmp_path, numbers=[0], top=1)
    export(created, tmp_path, top=1, ensemble=2)
    default, winner, ensemble = quality.searched(models, tmp_path)
    study.storage.close()

    def exported(folder: str) -> dict[str, dict[str, float]]:
        content: dict[str, dict[str, float]] = json.loads(
            (tmp_path / folder / "metrics.json").read_text()
        )
        return content

    number = int(winner.name.removeprefix("winner (trial ").removesuffix(")"))
    assert default.metrics == exported("trial-00000")
    assert winner.metrics == exported(f"trial-{number:05d}")
    assert ensemble.metrics == exported("ensemble")
    assert default.metrics["test"] != winner.metrics["test"]
    assert default.seconds is not None
    assert winner.seconds is not None
    assert 0 < default.seconds < winner.seconds == ensemble.seconds


def test_the_table_shows_what_is_known() -> None:
    rows = [
        Measured("default", {}, None),
        Measured("winner", {"validation": {"f1": 0.5, "accuracy": 1.0}, "test": {}}, 12.34),
        Measured("CatBoost", {"validation": {"accuracy": 0.75}, "test": {"accuracy": 0.25}}, 3.0),
    ]
    lines = [line.split() for line in quality.table(rows, "f1")]
    assert lines == [
        ["f1", "accuracy", "seconds"],
        ["default"],
        ["winner", "validation", "0.5000", "1.0000", "12.3"],
        ["CatBoost", "validation", "-", "0.7500", "3.0"],
        ["test", "-", "0.2500"],
    ]


def test_a_missing_study_file_is_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        quality.main([str(tmp_path / "no.toml"), "--folder", str(tmp_path / "out")])
    assert end.value.code == 2
    assert "no.toml" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
