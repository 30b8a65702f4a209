"""The order of the leaderboard among trials that are level, and its table."""

from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.config.metrics import Direction
from hpo.results.leaderboard_table import to_table
from hpo.study.confirmation import Estimate
from hpo.study.leaderboard import ranked


def trial(number: int, value: float, **metrics: float) -> FrozenTrial:
    made = create_trial(
        state=TrialState.COMPLETE, value=value, user_attrs={"metrics": metrics} if metrics else {}
    )
    made.number = number
    return made


TRIALS = [
    trial(0, 0.0),
    trial(1, 0.0, f1=0.0, log_loss=0.7),
    trial(2, 0.0, f1=0.0, log_loss=0.2, roc_auc=0.9),
    trial(3, 0.0, f1=0.0, log_loss=0.2),
    trial(4, 0.1, log_loss=0.9, f1=0.1),
]


def test_of_equals_the_one_with_the_lower_loss_comes_first() -> None:
    assert [row.number for row in ranked(TRIALS, Direction.MAXIMIZE)] == [4, 2, 3, 1, 0]
    assert [row.number for row in ranked(TRIALS, Direction.MINIMIZE)] == [2, 3, 1, 0, 4]


def test_of_equal_means_too() -> None:
    confirmed = {number: Estimate.of([0.5, 0.7]) for number in (1, 2)}
    assert [row.number for row in ranked(TRIALS, Direction.MAXIMIZE, confirmed)] == [2, 1, 4, 3, 0]


def test_a_metric_that_has_no_value_leaves_its_cell_empty() -> None:
    table = to_table(ranked(TRIALS, Direction.MAXIMIZE))
    assert table["roc_auc"].to_list() == [None, 0.9, None, None, None]
    assert table["f1"].to_list() == [0.1, 0.0, 0.0, 0.0, None]
