"""Figures of params, of trials whose values are planted."""

import math

import optuna
import pytest
from optuna.trial import FrozenTrial

from hpo.config.space import SearchSpace
from hpo.config.trial import Direction
from hpo.results.report.param_figures import importances, parallel_coordinates, slices
from hpo.results.report.search_figures import MAX_POINTS, best_so_far, history, learning_curves
from hpo.results.report.style import label, spread, typical_range
from hpo.results.report.text import duration, number, plain_params, share, short_names

SPACE = SearchSpace.from_tree(
    {
        "model": {
            "depth": {"type": "int", "low": 1, "high": 4},
            "dropout": {"type": "float", "low": 0.0, "high": 0.4, "or_zero": True},
        },
        "optimizer": {
            "name": {"type": "categorical", "choices": ["sgd", "adam"]},
            "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
            "momentum": {
                "type": "float",
                "low": 0.8,
                "high": 0.9,
                "when": {"optimizer.name": "sgd"},
            },
        },
    },
    "test",
)


def search(n: int, every_nth_fails: int = 0) -> list[FrozenTrial]:
    """Random trials whose value is how far their learning rate is from 1e-2, and nothing else."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for at in range(n):
        trial = study.ask()
        trial.suggest_int("model.depth", 1, 4)
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
    found = importances(search(60), Direction.MINIMIZE)
    assert found is not None
    assert next(iter(found)) == "optimizer.learning_rate"
    assert found["optimizer.learning_rate"] > 0.6
    assert importances(search(19), Direction.MINIMIZE) is None


def test_level_trials_have_no_importances() -> None:
    trials = search(30)
    for trial in trials:
        trial.value = 1.0
    assert importances(trials, Direction.MINIMIZE) is None


def test_a_line_runs_through_each_param_even_where_it_is_unused() -> None:
    trials = search(12)
    best = min(trials, key=lambda trial: trial.value or 0.0)
    drawn = parallel_coordinates(trials, SPACE, "rmse", Direction.MINIMIZE, best.number)
    assert drawn is not None
    line = drawn.data[-1]
    assert line.name == "the winner"
    assert len(line.x) == len(SPACE.tunables) + 2  # the objective, and a gap
    at = [*SPACE.tunables].index("optimizer.learning_rate")
    assert line.y[at] == pytest.approx(0.5, abs=0.1)
    assert line.y[-2] > 0.9
    momentum = [*SPACE.tunables].index("optimizer.momentum")
    assert (line.y[momentum] < 0) == ("optimizer.momentum" not in best.params)


def test_a_slice_leaves_out_trials_without_the_param() -> None:
    trials = search(40)
    drawn = slices(trials, SPACE, "rmse", Direction.MINIMIZE)
    assert drawn is not None
    by_name = dict(zip(SPACE.tunables, drawn.data, strict=True))
    assert len(by_name["model.depth"].x) == 40
    n_sgd = sum(trial.params["optimizer.name"] == "sgd" for trial in trials)
    assert len(by_name["optimizer.momentum"].x) == n_sgd
    assert len(by_name["model.dropout"].x) == 40  # 0 where it is off
    assert all(-0.2 <= place <= 1.06 for trace in drawn.data for place in trace.x)


def test_history_is_thinned_but_for_the_best_so_far() -> None:
    trials = search(MAX_POINTS + 200, every_nth_fails=50)
    drawn = history(trials, "rmse", Direction.MINIMIZE)
    assert drawn is not None
    traces = {trace.name: trace for trace in drawn.data}
    assert len(traces["complete"].x) == MAX_POINTS
    assert len(traces["failed, without a value"].x) == 34
    assert not traces["failed"].x
    steps = best_so_far([t for t in trials if t.value is not None], Direction.MINIMIZE)
    assert list(traces["best so far"].x[:-1]) == [at for at, _ in steps]
    assert steps[-1][1] == min(t.value for t in trials if t.value is not None)
    curves = learning_curves(trials, "rmse", steps[-1][0])
    assert curves is not None
    assert [trace.name for trace in curves.data] == [
        "complete (1,666)",
        "failed (34)",
        "the default, trial 0",
        f"the winner, trial {steps[-1][0]}",
    ]


def test_a_far_value_does_not_stretch_an_axis() -> None:
    low, high = typical_range([*range(20), 1e9, float("nan")])
    assert low < 0
    assert 19 < high < 60
    assert typical_range([1.0], best=3.0)[1] > 3.0
    assert typical_range([]) == (0.0, 1.0)


def test_items_are_thinned_evenly() -> None:
    assert spread(range(5), 5) == [0, 1, 2, 3, 4]
    assert spread(range(101), 3) == [0, 50, 100]


def test_a_label_is_written_as_plotly_reads_it() -> None:
    assert label('no "x" <b>&') == 'no "x" &lt;b&gt;&amp;'


def test_numbers_are_written_for_people() -> None:
    assert [number(v) for v in (0.5, 12, -0.0, None)] == ["0.5000", "12", "0", "\u2013"]
    assert number(-0.00123, 2) == "\u22120.0012"
    assert [share(n, 200) for n in (1, 50, 0)] == ["0.5\u00a0%", "25\u00a0%", "0\u00a0%"]
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
