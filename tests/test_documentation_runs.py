"""What the pages show, carried out on a small study: page by page, block by block."""

import re
import shutil
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from sklearn.model_selection import cross_val_score

from hpo.lifecycle.creation import create_from_file
from hpo.sklearn import MLPSearchClassifier
from hpo.training.single import SingleTrainer
from hpo.worker.quota import Quota
from tests.support import documentation
from tests.support.command_line import hpo
from tests.support.documentation import PAGES, ROOT
from tests.support.workers import make_worker

pytestmark = pytest.mark.slow

STUDY = """
name = "{name}"
search_space = "mlp"

[data]
source = "../people.csv"
target = "income"
split = {{ val = 0.3, test = 0.3 }}

[objective]
metric = "accuracy"

[training]
max_epochs = 2

[budget]
n_trials = 40
timeout = "1h"
"""
N_TRIALS = 18
"""So that there is a trial 17, which the pages speak of."""

ELSEWHERE = ("s3://", "postgresql://", "mariadb://", "kubectl")
"""What is not on this machine."""
NOT_RUN = {
    "worker": "goes on until the study is finished, on GPUs",
    "dashboard": "serves until it is interrupted",
    "logs": "needs a trial that failed",
    "doctor": "judges the machine",
    "launch ray": "needs a cluster",
}
SMALLER = {
    "run": ["--n-trials", "2", "--workers", "1", "--gpus", "none"],
    "confirm": ["--top", "1", "--seeds", "2", "--workers", "1", "--gpus", "none"],
    "delete": ["--yes"],
}
"""What is added to commands; of an option that is given twice the last counts."""
SHARED = {
    "HPO_STORAGE": "postgresql://me@db.example/hpo",
    "HPO_ARTIFACTS": "s3://team/hpo",
}


def people(n: int) -> pandas.DataFrame:
    """Columns that pages name."""
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, n).astype(float)
    age[::9] = np.nan
    work = [("Private", "State", None)[i % 3] for i in range(n)]
    return pandas.DataFrame({"age": age, "workclass": work})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables, study files, and the study `adult` with a winner that was exported."""
    home = tmp_path_factory.mktemp("finished")
    table = people(60)
    table["income"] = np.where(table["age"].fillna(40) > 40, "high", "low")
    table.to_csv(home / "people.csv", index=False)
    table.drop(columns="income").to_csv(home / "new.csv", index=False)
    houses = table.assign(price=table["age"].fillna(40) * 9.5)
    houses.drop(columns="income").to_csv(home / "houses.csv", index=False)
    (home / "studies").mkdir()
    for name in ("adult", "digits"):
        (home / f"studies/{name}.toml").write_text(STUDY.format(name=name))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        created = create_from_file(Path("studies/adult.toml"), "sqlite:///hpo.db", "hpo-artifacts")
        study, store = created.study, created.store
        with closing(study.storage):
            quota = Quota.limited(N_TRIALS)
            worker = make_worker(study, store, SingleTrainer(torch.device("cpu")), quota=quota)
            worker.work(threading.Event())
        assert hpo("export", "adult", "--trial", 17, "--out", "winners").code == 0
    return home


@pytest.fixture
def home(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    copy = shutil.copytree(finished, tmp_path / "home")
    monkeypatch.chdir(copy)
    return copy


def adapted(words: list[str]) -> list[str]:
    """A command in this folder: what it shows of a trial that is not there, of one that is."""
    found = []
    for word in words:
        if (there := re.match(r"(.*)/trial-\d{5}", word)) and not Path(there[0]).exists():
            word = word.replace(there[0], str(next(Path(there[1]).glob("trial-*"))))
        found.append(word)
    return [word for word in found if word != "--watch"]


def run(words: list[str], where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Carry a command of a page out."""
    text = " ".join(words)
    if words[0] == "optuna":
        program = Path(sys.executable).parent / "optuna"
        subprocess.run([program, *words[1:]], check=True, capture_output=True)
    if words[0] != "hpo" or any(place in text for place in ELSEWHERE):
        return
    name = documentation.command_of(words[1:])
    assert name is not None, text
    if name in NOT_RUN or (name == "launch slurm" and "--dry-run" not in words):
        return
    with monkeypatch.context() as patch:
        for key, value in SHARED.items() if name.startswith("launch ") else ():
            patch.setenv(key, value)
        outcome = hpo(*adapted(words[1:]), *SMALLER.get(name, ()))
    assert outcome.code == 0, f"{where}: {text}: {outcome.err}"


def smaller(code: str) -> str:
    """Python that does the same with fewer trainings and processes."""
    code = code.replace("MLPSearchClassifier(", "MLPSearchClassifier(max_epochs=2, ")
    code = re.sub(r"(hpo\.run|\.confirm)\(([^)]+)", r'\1(\2, workers=1, gpus="none"', code)
    for name, number in (("n_trials", 2), ("n_jobs", 1), ("top", 1), ("seeds", 2)):
        code = re.sub(rf"\b{name}=\d+", f"{name}={number}", code)
    return code


def names() -> dict[str, Any]:
    """What the Python of the pages takes for granted."""
    rows, more = people(60), people(20)
    y = np.where(rows["age"].fillna(40) > 40, "high", "low")
    return {
        "X": rows,
        "y": y,
        "X_train": rows,
        "y_train": y,
        "X_test": more,
        "dataframe": more,
        "cross_val_score": cross_val_score,
    }


@pytest.mark.parametrize("page", PAGES, ids=documentation.name)
def test_what_a_page_shows_works(page: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = names()
    for block in documentation.blocks(page, "sh", "python"):
        if block.language == "python":
            exec(compile(smaller(block.text), block.where, "exec"), known)
            continue
        for words in documentation.typed(block):
            run(words, block.where, monkeypatch)


def test_every_key_of_a_status_is_documented(home: Path) -> None:
    page = documentation.read(ROOT / "docs/dashboard.md")
    document = hpo("status", "adult", "--json").document
    rows = hpo("leaderboard", "adult", "--json").document
    for key in [*document, *document["used"], *document["objective"], *rows[0]]:
        assert f"`{key}`" in page, f"docs/dashboard.md does not name {key}"


def test_every_attribute_of_a_fit_is_documented() -> None:
    known = names()
    fitted = MLPSearchClassifier(n_trials=1, max_epochs=1).fit(known["X"], known["y"])
    page = documentation.read(ROOT / "docs/python.md")
    for name in vars(fitted):
        if name.endswith("_") and not name.startswith("_"):
            assert f"`{name}`" in page, f"docs/python.md does not name {name}"
