"""The report's figures, of trials whose value depends on the learning rate alone."""

import math
import re

import optuna
import pytest
from optuna.trial import FrozenTrial

from hpo.config.metrics import Direction
from hpo.config.space import plain_params
from hpo.results.report.param_figures import importances, parallel_coordinates, slices
from hpo.results.report.search_figures import MAX_POINTS, best_so_far, history, learning_curves
from hpo.results.report.style import WINNER, label, thinned, typical_range
from hpo.results.report.text import duration, number, percent, short_names


def search(n: int, every_nth_fails: int = 0) -> list[FrozenTrial]:
    """Random trials whose value is how far their learning rate is from 1e-2, and nothing else."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for at in range(n):
        trial = study.ask()
        trial.suggest_categorical("model.depth", [1, 2, 3, 4])
        if trial.suggest_categorical("model.dropout.on", [False, True]):
            trial.suggest_float("model.dropout", 0.0, 0.4)
        if trial.suggest_categorical("optimizer.name", ["sgd", "adam"]) == "sgd":
            trial.suggest_float("optimizer.momentum", 0.8, 0.9)
        rate = trial.suggest_float("optimizer.learning_rate", 1e-3, 1e-1, log=True)
        value = abs(math.log10(rate) + 2)
        trial.report(value, 1)
        if every_nth_fails and at % every_nth_fails == 0:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, value)
    return study.get_trials(deepcopy=False)


def test_the_param_that_decides_is_the_important_one() -> None:
    drawn = importances(search(60), Direction.MINIMIZE)
    assert drawn is not None
    assert drawn.data[0].y[0] == "learning_rate"
    assert drawn.data[0].x[0] > 0.6
    assert importances(search(19), Direction.MINIMIZE) is None


def test_level_trials_have_no_importances() -> None:
    trials = search(30)
    for trial in trials:
        trial.value = 1.0
    assert importances(trials, Direction.MINIMIZE) is None


def test_each_line_is_of_the_trial_that_it_names() -> None:
    trials = search(12, every_nth_fails=5)
    complete = [trial for trial in trials if trial.value is not None]
    best = min(complete, key=lambda trial: trial.value)
    drawn = parallel_coordinates(trials, "rmse", Direction.MINIMIZE, best.number)
    assert drawn is not None
    *lines, _ = drawn.data
    assert len(lines) == len(complete)
    for line in lines:
        number = int(re.search(r"<extra>trial (\d+),", line.hovertemplate)[1])
        shown = dict(line.customdata)
        params = trials[number].params
        assert shown["rmse"] == f"{trials[number].value:.3g}"
        assert shown["learning_rate"] == f"{params['optimizer.learning_rate']:.3g}"
        assert shown["depth"] == str(params["model.depth"])
        assert (shown["momentum"] == "None") == ("optimizer.momentum" not in params)
        assert (line.line.color == WINNER) == (number == best.number)
    assert lines[-1].line.color == WINNER


def test_an_outlier_does_not_fade_the_other_lines() -> None:
    trials = search(12)
    trials[3].value = 1e9
    drawn = parallel_coordinates(trials, "rmse", Direction.MINIMIZE, None)
    assert drawn is not None
    *_, colorbar = drawn.data
    assert colorbar.marker.cmax < 10


def test_a_slice_leaves_out_trials_without_the_param() -> None:
    trials = search(40, every_nth_fails=9)
    complete = [trial for trial in trials if trial.value is not None]
    drawn = slices(trials, "rmse", Direction.MINIMIZE)
    assert drawn is not None
    axes = {axis.title.text: at for at, axis in enumerate(drawn.select_xaxes())}
    momentum = drawn.data[axes["momentum"]]
    sgd = [trial for trial in complete if trial.params["optimizer.name"] == "sgd"]
    assert list(momentum.marker.color) == [trial.number for trial in sgd]
    assert list(momentum.x) == [trial.params["optimizer.momentum"] for trial in sgd]
    assert len(drawn.data[axes["dropout on"]].x) == len(complete)


@pytest.mark.slow
def test_history_is_thinned_but_for_the_best_so_far() -> None:
    trials = search(MAX_POINTS + 200, every_nth_fails=50)
    drawn = history(trials, "rmse", Direction.MINIMIZE)
    assert drawn is not None
    traces = {trace.name: trace for trace in drawn.data}
    assert len(traces["complete"].x) == MAX_POINTS
    assert len(traces["failed"].x) == 34
    assert set(traces["failed"].text) == {"no value"}
    steps = best_so_far([t for t in trials if t.value is not None], Direction.MINIMIZE)
    assert list(traces["best so far"].x[:-1]) == [at for at, _ in steps]
    assert steps[-1][1] == min(t.value for t in trials if t.value is not None)
    curves = learning_curves(trials, "rmse", steps[-1][0])
    assert curves is not None
    assert [trace.name for trace in curves.data] == [
        "complete (1,666)",
        "failed (34)",
        "default, trial 0",
        f"winner, trial {steps[-1][0]}",
    ]


def test_a_far_value_does_not_stretch_an_axis() -> None:
    low, high = typical_range([*range(20), 1e9, float("nan")])
    assert low < 0
    assert 19 < high < 60
    assert typical_range([1.0], best=3.0)[1] > 3.0
    assert typical_range([]) == (0.0, 1.0)


def test_items_are_thinned_evenly() -> None:
    assert thinned(range(5), 5) == [0, 1, 2, 3, 4]
    assert thinned(range(101), 3) == [0, 50, 100]


def test_a_label_is_written_as_plotly_reads_it() -> None:
    assert label('no "x" <b>&') == 'no "x" &lt;b&gt;&amp;'


def test_numbers_are_written_for_people() -> None:
    assert [number(v) for v in (0.5, 12, -0.0, None)] == ["0.5000", "12", "0", "\u2013"]
    assert number(-0.00123, 2) == "\u22120.0012"
    assert [percent(n, 200) for n in (1, 50, 0)] == ["0.5\u00a0%", "25\u00a0%", "0\u00a0%"]
    assert [duration(s) for s in (1.25, 59, 200, 7500)] == [
        "1.2 s",
        "59 s",
        "3 min 20 s",
        "2 h 5 min",
    ]
    assert plain_params({"a.x.on": False, "b.y.on": True, "b.y": 2}) == {"a.x": 0, "b.y": 2}
    assert short_names(["model.width", "optimizer.name", "a.l", "b.l", "a.d.on"]) == {
        "model.width": "width",
        "optimizer.name": "optimizer",
        "a.l": "a.l",
        "b.l": "b.l",
        "a.d.on": "d on",
    }
