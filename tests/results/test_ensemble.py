"""Which models are chosen for an ensemble."""

import torch

from hpo.results.ensemble import select

TRUTH = torch.tensor([1.0, 2.0, 3.0, 4.0])


def score(outputs: torch.Tensor) -> tuple[float, float]:
    return -(outputs - TRUTH).abs().mean().item(), 0.0


def candidates(*errors: float) -> list[torch.Tensor]:
    return [TRUTH + error for error in errors]


def test_errors_that_cancel_are_chosen_with_their_weights() -> None:
    assert select(candidates(3.0, 1.0, -2.1), score, 3) == [1, 2, 1]


def test_no_more_are_chosen_than_asked_for() -> None:
    assert select(candidates(3.0, 1.0, -2.1), score, 2) == [1, 2]
    assert select(candidates(3.0, 1.0, -2.1), score, 1) == [1]


def test_the_best_comes_first_and_of_equals_the_earliest() -> None:
    assert select(candidates(1.0, 0.5, 0.5), score, 8) == [1]


def test_a_detour_is_gone_when_it_leads_to_a_better_ensemble() -> None:
    # A second 1.0 is no gain by itself, but makes room for the -3.5.
    found = candidates(1.0, -3.5)
    assert select(found, score, 2) == [0]
    assert select(found, score, 3) == [0, 0, 1]


def test_of_those_that_are_level_the_lower_loss_decides() -> None:
    def level(outputs: torch.Tensor) -> tuple[float, float]:
        return 0.0, score(outputs)[0]

    assert select(candidates(3.0, 1.0, -2.1), level, 3) == [1, 2, 1]


def test_what_cannot_be_scored_is_never_chosen() -> None:
    assert select(candidates(float("nan"), 9.0), score, 2) == [1]
