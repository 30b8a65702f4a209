"""The script that computes starts: what it chooses, and that its output is a search space's."""

import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.config.definition import load_search_space
from hpo.config.space import SearchSpace
from hpo.training.single import SingleTrainer
from tests.support.paths import ROOT

sys.path.append(str(ROOT / "scripts"))
from portfolios import selection, tables
from portfolios.__main__ import main, start_table


def test_the_choice_is_good_on_all_tables_together() -> None:
    matrix = np.array(
        [
            [1.0, 1.0, 0.5],  # the default
            [0.4, 0.5, 0.5],  # good alone, but adds nothing to the next two
            [0.0, 1.0, 1.0],
            [0.5, 0.2, 0.5],  # the best mean, chosen first
        ]
    )
    assert selection.choose(matrix, 9) == [3, 2]
    assert selection.choose(matrix, 1) == [3]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_regret_after_some_trials_is_the_mean_over_all_draws(k: int) -> None:
    first, pool = np.array([0.7, 0.3]), np.array([0.1, 0.9, 0.2, 0.25, 0.0])
    n_drawn = max(0, k - 2)
    every = [min(*first[:k], *draw, 1.0) for draw in combinations(pool, n_drawn)]
    assert selection.regret_after(first, pool, k) == pytest.approx(np.mean(every))


def test_a_table_is_judged_by_starts_of_other_tables() -> None:
    # Each table has a candidate of its own that is best there, and one that is good on both.
    matrix = np.array([[1.0, 1.0], [0.0, 0.4], [0.6, 0.0]])
    pools = [np.ones(9), np.ones(9)]
    found = selection.left_out(matrix, [-1, 0, 1], pools, 2, [1, 2])
    np.testing.assert_allclose(found[:, 0], [[1.0, 0.6], [1.0, 0.4]])
    np.testing.assert_allclose(found[:, 1], 1.0)


def test_regrets_lie_between_the_best_and_the_median() -> None:
    found = selection.regrets(np.array([1.0, 2.0, 3.0, np.inf]), best=1.0, median=3.0)
    assert found.tolist() == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("space", ["mlp", "mlp_small", "tabm_mlp"])
def test_a_printed_start_is_the_configuration(space: str) -> None:
    found = load_search_space(space, "test", ROOT / "studies")

    def highest(name: str, leaf: Any) -> Any:
        return leaf.grid()[-1] if leaf.grid() else leaf.high

    for params in (found.default_params(), found.walk(highest)):
        tree = tomllib.loads(start_table(params, found))
        assert SearchSpace.from_tree({**found.to_tree(), **tree}, "s").starts == (params,)


@pytest.mark.parametrize("name", tables.TABLES)
def test_tables_are_made_again_the_same(name: str) -> None:
    frame, _ = tables.load_table(name, 300)
    assert 100 < frame.height <= 300
    assert frame.equals(tables.load_table(name, 300)[0])


@pytest.mark.slow
def test_a_run_prints_starts_and_a_second_run_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "--space mlp_small --n-trials 2 --candidates 1 --max-epochs 2 --rows 150 --workers 1"
    words = [*options.split(), "--folder", str(tmp_path), "--tables", "wine", "diabetes"]

    def run() -> list[str]:
        main(words)
        out, _ = capsys.readouterr()
        return [line for line in out.splitlines() if " s" not in line[-4:]]

    printed = run()
    monkeypatch.setattr(SingleTrainer, "advance", None)
    monkeypatch.setattr(
        "portfolios.__main__.ProcessPoolExecutor", lambda n, mp_context: ThreadPoolExecutor(n)
    )
    assert run() == printed
    starts = tomllib.loads("\n".join(printed).partition("\nRegret")[0])["start"]
    assert 1 <= len(starts) <= 2
    assert any(line.startswith("mean ") for line in printed)
