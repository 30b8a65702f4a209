"""The commands on a real study: searched once by real workers, then looked at from all sides."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import optuna
import polars
import pytest
import safetensors.torch
import torch

from hpo.config.errors import StorageUnavailableError
from hpo.config.version import __version__
from hpo.storage.engine import Storage
from tests.support import machine
from tests.support.command_line import Outcome, hpo, run_process
from tests.support.small_disk import small_disk
from tests.support.small_study import write_study
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `hpo run` has searched the small study."""
    folder = tmp_path_factory.mktemp("home")
    done = run_process("run", write_study(folder), cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


@pytest.fixture
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The searched folder as the current one."""
    monkeypatch.chdir(home)
    return home


def test_run_says_what_it_did(home: Path) -> None:
    out, err = (home / "stdout").read_text(), (home / "stderr").read_text()
    assert out.startswith("small\n")
    assert "winners/small/trial-0000" in out
    assert "6/6 trials" in err
    assert re.search(r"best accuracy 0\.\d+ \(trial \d\)", err)
    assert out.splitlines()[-1] == "winners/small/ensemble"
    gain, hint = err.splitlines()[-2:]
    assert re.match(r"the ensemble of \d models? gains \S+ over trial \d on validation: ", gain)
    assert hint == "predict with: hpo predict small TABLE"


def test_run_again_goes_on_where_it_ended(inside: Path) -> None:
    again = hpo("run", "small.toml")
    assert again.code == 0, again.err
    assert "small is finished: all 6 trials of its budget are finished; hpo extend" in again.err
    assert hpo("status", "small", "--json").document["trials"] == {"COMPLETE": 6}


def test_the_version_is_printed() -> None:
    assert hpo("--version").out == f"{__version__}\n"


def test_status_is_a_contract(inside: Path) -> None:
    status = hpo("status", "small", "--json").document
    keys = ["name", "state", "direction", "budget", "trials", "best", "workers", "used", "silent"]
    keys += ["per_minute", "failures", "notes", "objective", "reason"]
    assert list(status) == keys
    assert status["objective"] == {"metric": "accuracy", "positive": "yes"}
    assert status["state"] == "finished"
    assert status["reason"] == "all 6 trials of its budget are finished"
    assert status["budget"]["n_trials"] == 6
    assert status["budget"]["timeout"] is None
    assert 0 < status["used"]["busy_seconds"] <= status["used"]["device_seconds"]
    assert status["best"]["number"] == leaderboard()[0]["number"]


def test_leaderboard_is_a_contract_and_is_ranked(inside: Path) -> None:
    rows = leaderboard()
    assert {tuple(row) for row in rows} == {
        ("number", "value", "state", "params", "metrics", "user_attrs", "confirmed", "fold_metrics")
    }
    values = [row["value"] for row in rows]
    assert values == sorted(values, reverse=True)
    assert rows[0]["metrics"]["accuracy"] == values[0]
    assert set(rows[0]["metrics"]) == {
        *("accuracy", "balanced_accuracy", "f1", "matthews_correlation", "roc_auc"),
        *("average_precision", "log_loss", "brier_score"),
    }


def test_trial_0_is_the_default_configuration(inside: Path) -> None:
    trial = hpo("trial", "small", 0, "--json").document
    assert trial["params"] == {"model.depth": 1, "optimizer.learning_rate": pytest.approx(1e-2)}
    assert list(trial["intermediate_values"]) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "arguments",
    [("studies",), ("status", "small"), ("leaderboard", "small"), ("trial", "small", 1)],
)
def test_tables_are_for_people(inside: Path, arguments: tuple[object, ...]) -> None:
    shown = hpo(*arguments)
    assert (shown.code, shown.err) == (0, "")
    assert "small" in shown.out or "depth=" in shown.out


def test_optuna_reads_the_storage(inside: Path) -> None:
    study = optuna.load_study(study_name="small", storage="sqlite:///hpo.db")
    best = study.best_trial
    assert best.number == leaderboard()[0]["number"]
    assert set(best.params) == {"model.depth", "optimizer.learning_rate"}
    assert max(best.intermediate_values.values()) == best.value
    command = [Path(sys.executable).parent / "optuna", "trials", "--study-name", "small"]
    command += ["--storage", "sqlite:///hpo.db", "--format", "json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(json.loads(printed)) == 6


def test_export_and_predict_agree_with_the_metrics(inside: Path) -> None:
    assert hpo("export", "small", "--out", "exported", "--top", 2).code == 0
    folder = inside / "exported" / f"trial-{leaderboard()[0]['number']:05d}"
    files = {path.name for path in folder.iterdir()}
    assert files == {
        "README.md",
        "config.toml",
        "metrics.json",
        "model.onnx",
        "model.safetensors",
        "schema.json",
    }
    polars.read_csv("houses.csv").select("sold", "colour", "size").write_csv("shuffled.csv")
    assert hpo("predict", folder, "shuffled.csv", "--out", "predictions.csv").code == 0
    predictions = polars.read_csv("predictions.csv")
    assert predictions.columns == ["prediction", "probability_no", "probability_yes"]
    assert len(predictions) == 160
    assert set(predictions["prediction"]) <= {"no", "yes"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["validation"] == leaderboard()[0]["metrics"]
    assert set(metrics["test"]) == set(metrics["validation"])


def test_an_ensemble_is_exported_and_predicts_like_any_model(inside: Path) -> None:
    done = hpo("export", "small", "--ensemble", 4, "--out", "together")
    assert (done.code, done.out.splitlines()[1:]) == (0, ["together/ensemble"]), done.err
    predicted = hpo("predict", "together/ensemble", "houses.csv")
    assert (predicted.code, len(predicted.out.splitlines())) == (0, 161)
    best = json.loads((inside / done.out.splitlines()[0] / "metrics.json").read_text())
    own = json.loads((inside / "together/ensemble/metrics.json").read_text())
    together, alone = own["validation"]["accuracy"], best["validation"]["accuracy"]
    assert re.fullmatch(r"the ensemble of \d models? gains .* over trial \d on .*\n", done.err)
    if together != alone:
        assert f"accuracy {together:.5g} instead of {alone:.5g}" in done.err
    card = (inside / "together/ensemble/README.md").read_text()
    assert f"| {together:.6g} | {own['test']['accuracy']:.6g} |" in card
    assert "greedy selections by validation log_loss" in card
    members = tomllib.loads((inside / "together/ensemble/config.toml").read_text())["members"]
    assert sum(member["weight"] for member in members) == pytest.approx(1)
    kept = list(inside.glob("hpo-artifacts/**/ensemble_*_test_metrics.json"))
    assert json.loads(kept[0].read_text()) == own["test"]


def test_a_name_predicts_with_the_best_there_is(
    inside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name, by_folder = (hpo("predict", each, "houses.csv") for each in ("small", "winners/small"))
    assert by_name == by_folder
    used = re.match(r"predicting with (winners/small/\S+): validation accuracy", by_name.err)
    assert used is not None
    assert hpo("predict", used[1], "houses.csv").out == by_name.out

    places = ["--storage", f"sqlite:///{inside}/hpo.db", "--artifacts", inside / "hpo-artifacts"]
    monkeypatch.chdir(tmp_path)  # without exports
    from_storage = hpo("predict", "small", inside / "houses.csv", *places)
    assert from_storage.out == by_name.out
    assert " of study small: validation accuracy " in from_storage.err

    nothing = hpo("predict", "smal", inside / "houses.csv", *places)
    assert nothing.code == 2
    assert nothing.err.startswith("hpo: smal: holds no exported model, nor does winners/smal; no ")


def test_a_run_without_an_ensemble_exports_none(inside: Path) -> None:
    done = hpo("run", "small.toml", "--ensemble", 0, "--top", 1, "--out", "single")
    assert done.code == 0, done.err
    assert [path.name for path in (inside / "single").iterdir() if path.is_dir()] == [
        f"trial-{leaderboard()[0]['number']:05d}"
    ]
    assert done.err.splitlines()[-1] == "predict with: hpo predict single TABLE"
    assert "ensemble" not in done.err


def test_no_rows_are_no_predictions(inside: Path) -> None:
    hpo("export", "small", "--out", "empty")
    (folder,) = (inside / "empty").glob("trial-*")
    (inside / "none.csv").write_text("size,colour\n")
    done = hpo("predict", folder, "none.csv")
    assert (done.code, done.out) == (0, "prediction,probability_no,probability_yes\n")


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_predictions_that_have_no_room_leave_the_earlier_ones(inside: Path, name: str) -> None:
    folder = inside / name
    hpo("export", "small", "--out", folder / "winners")
    (winner,) = (folder / "winners").glob("trial-*")
    (folder / "disk").mkdir()
    with small_disk(folder / "disk", "1m") as disk:
        machine.SMALL_DISK.or_skip()
        assert disk is not None
        out = disk.folder / name
        out.write_text("earlier")
        disk.fill()
        done = hpo("predict", winner, "houses.csv", "--out", out)
        assert done.code == 2
        assert done.err.startswith(f"hpo: {out}: cannot be written (No space left on device")
        assert out.read_text() == "earlier"
        disk.free()
        assert hpo("predict", winner, "houses.csv", "--out", out).code == 0
        assert {path.name for path in disk.folder.iterdir()} == {name}
        assert out.stat().st_size > 100


def test_train_repeats_an_exported_trial_bit_for_bit(inside: Path) -> None:
    hpo("export", "small", "--out", "repeat")
    (folder,) = (inside / "repeat").glob("trial-*")
    done = run_process("train", folder / "config.toml", "--out", "repeat/again", cwd=inside)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "metrics.json").read_text())
    first, second = (
        safetensors.torch.load_file(path / "model.safetensors")
        for path in (folder, inside / "repeat/again")
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_workers_start_although_the_database_goes_away(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(storage: Storage, n_workers: int) -> None:
        raise StorageUnavailableError("away")

    monkeypatch.setattr(Storage, "check_room", away)
    assert hpo("worker", "small", "--workers", 1).code == 0


def test_a_place_to_train_into_is_looked_at_before(inside: Path) -> None:
    hpo("export", "small", "--out", "place")
    (folder,) = (inside / "place").glob("trial-*")
    (inside / "mine").mkdir(exist_ok=True)
    (inside / "mine" / "thesis.txt").touch()
    done = hpo("train", folder / "config.toml", "--out", "mine")
    assert done.code == 2
    assert done.err == "hpo: mine: exists and is no exported model, so it is not replaced\n"


def test_queued_params_are_run_and_others_sampled(tmp_path: Path) -> None:
    study = write_study(tmp_path, n_trials=2)
    os.chdir(tmp_path)
    assert hpo("create", study).out == "small\n"
    refused = hpo("enqueue", "small", "model.depht=2")
    assert refused.code == 2
    assert 'unknown param model.depht (did you mean "model.depth"?)' in refused.err
    assert hpo("enqueue", "small", "model.depth=2").out == "1\n"
    full = hpo("enqueue", "small", "model.depth=1")
    assert full.code == 2
    assert "budget" in full.err
    assert run_process("worker", "small", "--workers", 1, cwd=tmp_path).returncode == 0
    assert hpo("trial", "small", 1, "--json").document["params"]["model.depth"] == 2


def test_a_queued_zero_turns_a_param_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = write_study(tmp_path, n_trials=3)
    decay = (
        "weight_decay = {type = 'float', low = 1e-6, high = 1e-2, or_zero = true}\nlearning_rate"
    )
    study.write_text(study.read_text().replace("learning_rate", decay))
    assert hpo("create", study).code == 0
    assert hpo("enqueue", "small", "optimizer.weight_decay=0").out == "1\n"
    assert hpo("enqueue", "small", "optimizer.weight_decay=1e-3").out == "2\n"
    opened = optuna.load_study(study_name="small", storage="sqlite:///hpo.db")
    assert [trial.system_attrs["fixed_params"] for trial in opened.trials[1:]] == [
        {"optimizer.weight_decay.on": False},
        {"optimizer.weight_decay.on": True, "optimizer.weight_decay": 1e-3},
    ]


def test_a_worker_without_a_name_serves_every_study(tmp_path: Path) -> None:
    for name in ("one", "two"):
        study = write_study(tmp_path, n_trials=2)
        study.write_text(study.read_text().replace('"small"', f'"{name}"'))
        os.chdir(tmp_path)
        assert hpo("create", study).code == 0
    done = run_process("worker", "--n-trials", 3, "--workers", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = [status["trials"] for status in hpo("studies", "--json").document]
    assert sum(counts.get("COMPLETE", 0) for counts in trials) == 3
    assert sum(sum(counts.values()) for counts in trials) in (3, 4)
    command = [sys.executable, "-m", "hpo", "worker", "--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path)
    try:
        wait_until(
            lambda: [s["state"] for s in hpo("studies", "--json").document] == ["finished"] * 2
        )
        process.terminate()
        assert process.wait(timeout=60) == 75  # it would have waited for further studies
    finally:
        process.kill()


def test_an_interrupted_run_keeps_what_is_finished_and_goes_on(tmp_path: Path) -> None:
    study = write_study(tmp_path, n_trials=24, n_rows=4000)
    command = [sys.executable, "-m", "hpo", "run", str(study), "--workers", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    os.chdir(tmp_path)
    wait_until(lambda: finished("small") >= 2)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Run the same command again to continue" in err
    before = hpo("status", "small", "--json").document["trials"]
    assert "RUNNING" not in before
    again = run_process("run", study, "--n-trials", 24, "--workers", 1, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    after = hpo("status", "small", "--json").document["trials"]
    assert sum(after.values()) == 24
    assert set(after) <= {"COMPLETE", "PRUNED"}


def leaderboard() -> list[dict[str, object]]:
    """The small study's leaderboard."""
    rows: list[dict[str, object]] = hpo("leaderboard", "small", "--json").document
    return rows


def finished(name: str) -> int:
    """How many of a study's trials are complete; 0 while there is no study."""
    status: Outcome = hpo("status", name, "--json")
    return status.document["trials"].get("COMPLETE", 0) if status.code == 0 else 0
