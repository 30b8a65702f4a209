"""Means over seeds, as a Markdown table."""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

Outcome = dict[str, float]
"""Figures by their titles."""

Scenario = Callable[[int], Iterator[tuple[str, Outcome]]]
"""Compares several choices on data drawn from a seed: the name of each and its figures."""


def run(
    bench: str, about: str, scenarios: Mapping[str, Scenario], arguments: Sequence[str]
) -> None:
    """Print the means of the scenario that the arguments of a benchmark name."""
    parser = argparse.ArgumentParser(
        prog=f"scripts/bench {bench}",
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", choices=[*scenarios])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    _print_means(scenarios[options.scenario], options.seeds)


def _print_means(scenario: Scenario, n_seeds: int) -> None:
    """Print the figures of the first seeds one by one, then a table of means."""
    found: dict[str, list[Outcome]] = {}
    for seed in range(n_seeds):
        for name, outcome in scenario(seed):
            found.setdefault(name, []).append(outcome)
            said = ", ".join(f"{title} {value:.3f}" for title, value in outcome.items())
            print(f"seed {seed}, {name}: {said}", flush=True)
    titles = [*outcome]
    print(f"\n| | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}")
    for name, outcomes in found.items():
        means = [_mean([each[title] for each in outcomes]) for title in titles]
        print(f"| {name} | {' | '.join(means)} |")


def _mean(values: Sequence[float]) -> str:
    """The mean and its standard error."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.3f} ± {error:.3f}"
