"""Training of one configuration without a study."""

import os
from pathlib import Path

import pytest

from hpo.config.errors import DataError, DefinitionError, InputError
from hpo.launch.single import choose_device, train_config

CONFIG = """
[data]
source = "t.csv"
target = "y"
[objective]
metric = "rmse"
[model]
width = 8
[training]
max_epochs = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    rows = [f"{i},{i % 7 + 0.5},{'yes' if i > 20 else 'no'}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,late", *rows]) + "\n")
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def test_a_configuration_written_by_hand_is_trained_and_told_of(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    lines: list[str] = []
    done = train_config(config, seed=None, device="cpu", log=lines.append)
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    assert done.metrics["validation"] == done.model.metrics
    assert set(done.metrics["test"]) == {"rmse", "mae", "r2", "mape", "rmsle"}
    assert done.model.config.data.task == "regression"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"  # as in worker processes


def test_a_seed_changes_the_model(config: Path) -> None:
    found = {
        train_config(config, seed=seed, device="cpu", log=lambda line: None).model.metrics["rmse"]
        for seed in (None, 0, 1)
    }
    assert len(found) == 2  # None uses the configuration's seed, 0


@pytest.mark.parametrize(
    ("old", "new", "kind", "complaint"),
    [
        ('"t.csv"', '"u.csv"', DataError, r"u\.csv: no such file"),
        ("width = 8", "width = 0", DefinitionError, r"config\.toml: model\.width: must be at"),
        ("[model]", '[data2]\nx = "y"\n[model]', DefinitionError, "data2: unknown key"),
        (
            "max_epochs = 2",
            "max_epochs = 2\nlabel_smoothing = 0.1",
            DefinitionError,
            r"config\.toml: training\.label_smoothing: must be 0 for a regression task",
        ),
        (
            'metric = "rmse"',
            'metric = "rmse"\ncalibrate = "temperature"',
            DefinitionError,
            r"config\.toml: objective\.calibrate: is for classes, but this is a regression task",
        ),
        (
            "max_epochs = 2",
            "max_epochs = 2\n[refit]\nn_epochs = 2\ncalibration = { threshold = 0.5 }",
            DefinitionError,
            r"config\.toml: refit\.calibration\.threshold: is for a binary task, but this is a reg",
        ),
        (
            "max_epochs = 2",
            "max_epochs = 2\n[refit]\nn_epochs = 3",
            DefinitionError,
            r"config\.toml: refit\.n_epochs: must be at most training\.max_epochs, which is 2",
        ),
        (
            "max_epochs = 2",
            "max_epochs = 2\n[refit]\nepochs = 2",
            DefinitionError,
            r"config\.toml: refit\.epochs: unknown key",
        ),
        ('target = "y"', 'target = "y"\nfingerprint = "ab"', DataError, "content has changed"),
        (
            'target = "y"\n[objective]\nmetric = "rmse"',
            'target = "late"\nsplit = { time = "x" }\n[objective]\nmetric = "roc_auc"',
            DataError,
            r"config\.toml: objective\.metric: roc_auc cannot be computed on the validation part: "
            'it has no row of the class "no"; take another metric, or another data.split',
        ),
    ],
)
def test_a_wrong_configuration_is_said_in_a_sentence(
    config: Path, old: str, new: str, kind: type[Exception], complaint: str
) -> None:
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(kind, match=complaint):
        train_config(config, seed=None, device="cpu", log=print)


def test_a_training_that_diverges_is_said_so(config: Path) -> None:
    wild = '[optimizer]\nname = "sgd"\nlearning_rate = 100.0\n[training]\ngradient_clip = 0.0'
    text = config.read_text().replace("max_epochs = 2", "max_epochs = 9\nbatch_size = 8")
    config.write_text(text.replace("[training]", wild))
    with pytest.raises(InputError, match=r"^training diverged: .* are not finite after epoch \d$"):
        train_config(config, seed=None, device="cpu", log=lambda line: None)


@pytest.mark.parametrize("name", ["cuda:9", "meta", "gpu"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="device must be auto, cpu or a GPU"):
        choose_device(name)
