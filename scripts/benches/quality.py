"""Quality of a search: 100 trials of the default space on California Housing.

The winner on validation is trained with five seeds. Its test RMSE is printed beside those of the
default configuration and of a published tuned MLP (Gorishniy et al. 2024), 0.4948.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import hpo
from hpo.launch.single import train_config

STUDY = Path(__file__).parents[2] / "studies" / "california_housing.toml"
SEEDS = range(5)


def main(arguments: list[str]) -> None:
    """Search, train the winner and the default again, and print their scores."""
    parser = argparse.ArgumentParser(prog="scripts/bench quality", description=__doc__)
    parser.add_argument("--n-trials", type=int, default=100)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        places = {"storage": f"sqlite:///{folder}/hpo.db", "artifacts": f"{folder}/store"}
        start = time.perf_counter()
        results = hpo.run(STUDY, n_trials=options.n_trials, **places)
        minutes = (time.perf_counter() - start) / 60
        print(f"{options.n_trials} trials in {minutes:.1f} minutes: {results.status.counts}")
        best = results.leaderboard()["number"][0]
        for title, number in (("winner", best), ("default", 0)):
            (exported,) = results.export(folder, trials=[number])
            scores = five_seeds(exported / "config.toml")
            mean, spread = statistics.mean(scores), statistics.stdev(scores)
            print(f"{title} (trial {number}): test RMSE {mean:.4f} ± {spread:.4f} over five seeds")
    print("published tuned MLP: 0.4948 ± 0.0056")


def five_seeds(config: Path) -> list[float]:
    """Test RMSE of a configuration trained on each seed, two at a time."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return list(pool.map(test_rmse, [config] * len(SEEDS), SEEDS))


def test_rmse(config: Path, seed: int) -> float:
    """Train once; the test RMSE."""
    metrics = train_config(config, seed=seed, device="auto", log=lambda line: None).metrics
    return metrics["test"]["rmse"]
