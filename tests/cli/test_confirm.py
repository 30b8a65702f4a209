"""`hpo confirm` with real workers on a real study, as it is typed."""

import os
import signal
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo.api import load_study, run
from hpo.files.store import ArtifactStore
from hpo.models.loading import load_model
from hpo.models.model import Model
from tests.support.command_line import Outcome, hpo
from tests.support.small_study import write_study

pytestmark = pytest.mark.slow

ONE = ("--workers", 1, "--gpus", "none")
T_1 = 12.706204736174694  # Student's, 97.5 %, of two values


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study that was searched, and confirmed over two seeds."""
    folder, before = tmp_path_factory.mktemp("home"), os.getcwd()
    handler = signal.getsignal(signal.SIGTERM)
    os.chdir(folder)
    run(write_study(folder), n_trials=4, workers=1, gpus="none").study.storage.close()
    yield folder
    os.chdir(before)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def shown(home: Path) -> Outcome:
    """What the command printed."""
    done = hpo("confirm", "small", "--top", 2, "--seeds", 2, *ONE)
    assert done.code == 0, done.err
    return done


def board(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = hpo("leaderboard", name, "--json").document
    return rows


def test_its_numbers_are_those_of_its_trials(shown: Outcome) -> None:
    tree = hpo("confirm", "small", "--top", 2, "--seeds", 2, "--json", *ONE).document
    assert hpo("status", "small@confirm", "--json").document["trials"] == {"COMPLETE": 6}
    searched = {row["number"]: row["params"] for row in board("small")}
    found: dict[int, dict[int, float]] = {number: {} for number in searched}
    for row in board("small@confirm"):
        params = dict(row["params"])
        seed = params.pop("training.seed")
        (number,) = (n for n, own in searched.items() if own == params)
        found[number][seed] = row["value"]
    found = {number: values for number, values in found.items() if values}
    assert len(found) == 3
    assert tree["seeds"] == [1, 2]
    for each in tree["configurations"]:
        own, default = found[each["number"]], found[0]
        assert each["values"] == {str(seed): value for seed, value in sorted(own.items())}
        assert each["estimate"]["mean"] == pytest.approx(statistics.fmean(own.values()))
        half = T_1 * abs(own[1] - own[2]) / 2
        assert each["estimate"]["high"] - each["estimate"]["mean"] == pytest.approx(half)
        if each["number"]:
            pairs = [own[seed] - default[seed] for seed in (1, 2)]
            assert each["difference"]["mean"] == pytest.approx(statistics.fmean(pairs))
            assert each["n_better"] == sum(pair > 0 for pair in pairs)
    means = [each["estimate"]["mean"] for each in tree["configurations"]]
    assert means == sorted(means, reverse=True)


def test_it_is_shown_in_80_columns(shown: Outcome) -> None:
    lines = shown.out.splitlines()
    assert " ".join(lines[1].split()) == "trial accuracy, 2 seeds sd to default better"
    assert max(map(len, lines[:-1])) <= 80
    assert "…" not in shown.out
    assert "0 (default)" in shown.out
    assert "the best mean" in lines[-1] or "is better than the default" in lines[-1]


def test_leaderboard_and_export_prefer_the_winner_with_its_original_weights(
    shown: Outcome, home: Path
) -> None:
    tree = hpo("confirm", "small", "--top", 2, "--seeds", 2, "--json", *ONE).document
    first = board("small")[0]
    assert first["number"] == tree["winner"]
    assert first["confirmed"] == tree["configurations"][0]["estimate"]
    assert "Confirmed: mean over seeds" in hpo("leaderboard", "small").out
    exported = hpo("export", "small", "--out", "winners").out.strip()
    assert exported == f"winners/trial-{tree['winner']:05d}"
    store, attrs = ArtifactStore("hpo-artifacts"), first["user_attrs"]
    original = Model.from_bytes(store.get(attrs["artifact"], attrs["sha256"]), "original")
    assert load_model(home / exported).config == original.config
    assert original.config.training.seed == 0
    card = (home / exported / "README.md").read_text(encoding="utf-8")
    assert "Trained again with 2 other seeds" in card
    results = load_study("small")
    assert results.leaderboard()["number"][0] == tree["winner"]
    results.study.storage.close()


def test_studies_lists_both_and_bad_values_are_one_sentence(shown: Outcome) -> None:
    names = [status["name"] for status in hpo("studies", "--json").document]
    assert names == ["small", "small@confirm"]
    for arguments, complaint in (
        (("small", "--seeds", 1), "--seeds must be from 2 to 100, but got 1"),
        (("small", "--top", 0), "--top must be from 1 to 100, but got 0"),
        (("small@confirm",), "study small@confirm is a confirmation: name the study it confirms"),
    ):
        done = hpo("confirm", *arguments, *ONE)
        assert (done.code, done.err) == (2, f"hpo: {complaint}\n")
