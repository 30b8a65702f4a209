"""Quality of a search: its models beside CatBoost and LightGBM, for any study file.

Runs `hpo run` of each study file, or continues it, then prints validation and test metrics on the
study's split: of the default configuration (trial 0), of the winner by validation, of the ensemble
that `hpo run` exports, and of CatBoost and LightGBM with their default settings, stopped early on
the validation part. Seconds are those of the trial, of the search up to now, and of each fit.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benches.boosting import Measured, fit_boosting

import hpo
from hpo import cli
from hpo.config.definition import load_definition
from hpo.config.errors import HpoError
from hpo.launch.single import train_config
from hpo.models.experiment import load_experiment
from hpo.results.report.comparison import Models
from hpo.study.leaderboard import find_row, leaderboard


def main(arguments: list[str]) -> None:
    """Search each study, and print its table."""
    parser = argparse.ArgumentParser(prog="scripts/bench quality", description=__doc__)
    parser.add_argument("studies", type=Path, nargs="+", metavar="STUDY.toml")
    parser.add_argument("--n-trials", type=int, help="budget of each search, instead of the file's")
    parser.add_argument("--folder", type=Path, default=Path("quality"), help="where searches go")
    parser.add_argument(
        "--trees", type=int, help="iterations of boosting at most, instead of each library's limit"
    )
    parser.add_argument(
        "--seeds", type=int, help="train the default and the winner again with so many seeds"
    )
    options = parser.parse_args(arguments)
    for study_file in options.studies:
        try:
            compare(study_file, options)
        except HpoError as error:
            print(f"quality: {error}", file=sys.stderr)
            sys.exit(error.exit_code)


def compare(study_file: Path, options: argparse.Namespace) -> None:
    """Search one study, fit the others on its split, and print the table."""
    name = load_definition(study_file).name
    places = {
        "storage": f"sqlite:///{options.folder}/hpo.db",
        "artifacts": str(options.folder / "artifacts"),
    }
    winners = options.folder / "winners" / name
    winners.mkdir(parents=True, exist_ok=True)
    run(study_file, options.n_trials, winners, places)
    results = hpo.load_study(name, **places)
    definition = results.study.definition
    experiment = load_experiment(results.store, definition.data)
    models = Models(study=results.study, store=results.store, experiment=experiment)
    boosted = fit_boosting(experiment.dataset, definition.objective, options.trees)
    rows = [*searched(models, winners), *boosted]
    status = results.status
    print(f"\n{name}: {definition.objective.metric}; {status.counts_text} trials")
    for line in table(rows, definition.objective.metric):
        print(line)
    if options.seeds:
        best = leaderboard(results.study)[0].number
        for folder in results.export(winners, trials=[0, best]):
            print(over_seeds(folder / "config.toml", definition.objective.metric, options.seeds))


def run(study_file: Path, n_trials: int | None, winners: Path, places: dict[str, str]) -> None:
    """`hpo run`, in this process, so that Ctrl-C reaches its workers as it does there."""
    words = ["run", str(study_file), "--out", str(winners)]
    words += [f"--{option}={place}" for option, place in places.items()]
    words += [] if n_trials is None else [f"--n-trials={n_trials}"]
    try:
        cli.main(words)
    except SystemExit as end:
        if end.code:
            raise


def searched(models: Models, winners: Path) -> Iterator[Measured]:
    """The default configuration, the winner, and the ensemble if there is one."""
    study = models.study
    default, best = find_row(study, 0), leaderboard(study)[0]
    seconds = study.progress().busy_seconds
    if default.state == "COMPLETE":
        own = study.trials()[0].duration.total_seconds()
        yield Measured("default (trial 0)", models.compared(default, "default").metrics, own)
    else:
        yield Measured(f"default (trial 0): {default.state}, no weights", {}, None)
    winner = models.compared(best, "winner")
    yield Measured(f"winner ({winner.name})", winner.metrics, seconds)
    folder = winners / "ensemble"
    if folder.exists():
        n_members = len(hpo.load_model(folder).members)
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        yield Measured(f"ensemble of {n_members}", metrics, seconds)
    else:
        yield Measured("ensemble: not exported", {}, None)


def table(rows: Sequence[Measured], objective: str) -> Iterator[str]:
    """Lines of text: one for each part of each model, with the objective's metric first."""
    found = {metric for row in rows for part in row.metrics.values() for metric in part}
    widths = {each: max(10, len(each) + 2) for each in (objective, *sorted(found - {objective}))}
    heads = "".join(f"{each:>{width}}" for each, width in widths.items())
    yield f"{'':48}{heads}{'seconds':>10}"
    for row in rows:
        name = row.name
        seconds = "" if row.seconds is None else f"{row.seconds:10.1f}"
        for part, values in row.metrics.items():
            if values:
                cells = "".join(
                    f"{values[each]:{width}.4f}" if each in values else f"{'-':>{width}}"
                    for each, width in widths.items()
                )
                yield f"{name:36}{part:12}{cells}{seconds}"
                name = seconds = ""
        if name:
            yield name


def over_seeds(config: Path, metric: str, n: int) -> str:
    """A line with the mean and the standard deviation of a configuration's metric over seeds.

    `hpo confirm` also trains with several seeds. But it measures the validation part alone, and it
    changes which trial of the study is the winner.
    """
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(measure, [config] * n, range(n)))
    means = []
    for part in ("validation", "test"):
        scores = [metrics[part][metric] for metrics in found if metric in metrics[part]]
        if scores:
            spread = f" ± {statistics.stdev(scores):.4f}" if n > 1 else ""
            means.append(f"{part} {metric} {statistics.mean(scores):.4f}{spread}")
    return f"{config.parent.name} over {n} seeds: {', '.join(means)}"


def measure(config: Path, seed: int) -> dict[str, dict[str, float]]:
    """Metrics of a configuration that is trained with a seed."""
    return train_config(config, seed=seed, device="auto", log=lambda line: None).metrics
