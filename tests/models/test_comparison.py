"""Models compared on the validation part, and the best one of a folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpo.config.errors import InputError
from hpo.models.comparison import Comparison
from hpo.models.experiment import Experiment
from hpo.models.loading import load_exported
from hpo.models.model import Predictor
from tests.support.models import ensemble, experiment, model


@pytest.fixture(scope="module")
def made() -> Experiment:
    return experiment("binary")


@pytest.mark.parametrize(
    ("single", "together", "is_gain", "text"),
    [
        ({"accuracy": 0.5}, {"accuracy": 0.75}, True, "gains 0.25 over trial 7 on validation: "
         "accuracy 0.75 instead of 0.5"),
        ({"accuracy": 0.75}, {"accuracy": 0.5}, False, "gains nothing over trial 7 on validation: "
         "accuracy 0.5 instead of 0.75"),
        ({"accuracy": 0.75, "log_loss": 0.5}, {"accuracy": 0.5, "log_loss": 0.25}, True, "gains "
         "nothing over trial 7 on validation: accuracy 0.5 instead of 0.75, but log_loss 0.25 "
         "instead of 0.5"),
        ({"accuracy": 0.5, "log_loss": 0.5}, {"accuracy": 0.5, "log_loss": 0.25}, True, "gains "
         "0.25 over trial 7 on validation: log_loss 0.25 instead of 0.5, at equal accuracy"),
        ({"accuracy": 0.5, "log_loss": 0.5}, {"accuracy": 0.5, "log_loss": 0.5}, False, "gains "
         "nothing over trial 7 on validation: log_loss 0.5 instead of 0.5, at equal accuracy"),
    ],
)  # fmt: skip
def test_the_better_one_on_validation_is_the_best(
    made: Experiment,
    single: dict[str, float],
    together: dict[str, float],
    is_gain: bool,
    text: str,
) -> None:
    compared = Comparison(
        single=replace(model(made), metrics=single),
        name="trial 7",
        ensemble=replace(ensemble(made), metrics=together),
    )
    assert compared.text == f"the ensemble of 3 models {text}"
    assert compared.best is (compared.ensemble if is_gain else compared.single)


def write(folder: Path, predictor: Predictor) -> None:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(predictor.to_bytes())


def loaded(name: str | Path) -> tuple[Predictor, str]:
    found = load_exported(str(name))
    assert found is not None
    return found


def test_the_best_model_of_a_folder_is_loaded(tmp_path: Path, made: Experiment) -> None:
    for number, accuracy in ((3, 0.5), (4, 0.75)):
        single = replace(model(made), metrics={"accuracy": accuracy})
        write(tmp_path / f"trial-0000{number}", single)
    write(tmp_path / "ensemble", replace(ensemble(made), metrics={"accuracy": 0.75}))
    write(tmp_path / ".trial-00009.draft", replace(model(made), metrics={"accuracy": 1.0}))
    (tmp_path / "leaderboard.csv").touch()
    best, line = loaded(tmp_path)
    assert best.metrics == {"accuracy": 0.75}
    expected = f"{tmp_path}/trial-00004: validation accuracy 0.75, the best of 3 models"
    assert line == f"predicting with {expected}"


def test_refits_are_not_compared(
    tmp_path: Path, made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    winners = Path("winners/houses")
    write(winners / "trial-00003-refit", replace(model(made), metrics={}))
    assert load_exported("houses") is None  # the study's storage may have others
    with pytest.raises(InputError, match=r"holds only refits, .*folders: trial-00003-refit"):
        load_exported("winners/houses")
    assert loaded(winners / "trial-00003-refit")[1] == ""
    write(winners / "trial-00003", model(made))
    for name in ("houses", winners):
        assert loaded(name)[1].startswith(f"predicting with {winners}/trial-00003: ")


def test_models_of_two_studies_are_not_compared(tmp_path: Path, made: Experiment) -> None:
    write(tmp_path / "a", model(made))
    write(tmp_path / "b", model(experiment("regression")))
    with pytest.raises(InputError, match=r"holds models of different tables or metrics.*: a, b"):
        loaded(tmp_path)
