"""The front door for Python."""

from pathlib import Path
from typing import Any

import polars
import pytest

import hpo
from hpo.config.errors import InputError, StorageError
from tests.support.small_study import write_study


def test_the_front_door_is_no_wider_than_it_says() -> None:
    assert sorted(hpo.__all__) == ["StudyResults", "__version__", "load_model", "load_study", "run"]
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        hpo.walk


@pytest.mark.slow
def test_a_study_is_run_looked_at_and_predicted_with(tmp_path: Path) -> None:
    places = {
        "storage": f"sqlite:///{tmp_path}/hpo.db",
        "artifacts": str(tmp_path / "artifacts"),
    }
    results = hpo.run(write_study(tmp_path), n_trials=3, workers=1, gpus="none", **places)
    assert results.status.counts == {"COMPLETE": 3}
    board = hpo.load_study("small", **places).leaderboard()
    assert board["value"].is_sorted(descending=True)
    (folder,) = results.export(tmp_path / "winners")
    exported, best = hpo.load_model(folder), results.best_model()
    rows = polars.read_csv(tmp_path / "houses.csv")
    predictions = exported.predict(rows)
    assert predictions.equals(best.predict(rows.to_dict(as_series=False)))
    probabilities = predictions.select("probability_no", "probability_yes").sum_horizontal()
    assert probabilities.is_between(1 - 1e-6, 1 + 1e-6).all()
    confirmed = results.confirm(top=1, seeds=2, workers=1, gpus="none")
    assert confirmed.winner is not None
    assert len(confirmed.winner.values) == 2
    assert results.leaderboard()["number"][0] == confirmed.winner.number


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"timeout": "soon"}, 'timeout must be a duration such as "90s"'),
        ({"n_trials": 0}, "n_trials: must be at least 1, but got 0"),
        ({"workers": 0}, "must be auto or a number from 1, but got 0"),
    ],
)
def test_a_wrong_argument_is_said_before_anything_is_made(
    tmp_path: Path, arguments: dict[str, Any], complaint: str
) -> None:
    study = write_study(tmp_path)
    there = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=complaint):
        hpo.run(
            study,
            storage=f"sqlite:///{tmp_path}/hpo.db",
            artifacts=str(tmp_path / "artifacts"),
            **arguments,
        )
    assert sorted(tmp_path.iterdir()) == there


def test_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist yet"):
        hpo.load_study("small", storage=f"sqlite:///{tmp_path}/hpo.db")
