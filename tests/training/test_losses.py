"""Gradients of losses against autograd, and links of the target."""

import pytest
import torch
from torch.nn import functional

from hpo.training.losses import loss_gradient
from hpo.training.targets import Link, TargetScale

N = 12


def drawn(*shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def focal(log_p: torch.Tensor, y: torch.Tensor, gamma: float) -> torch.Tensor:
    return -(y * (1 - log_p.exp()) ** gamma * log_p).sum(dim=1)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("is_smoothed", [False, True])
def test_focal_gradients_are_autograd_s(gamma: float, is_smoothed: bool) -> None:
    classes = torch.arange(N) % 3
    ones = functional.one_hot(classes, 3).double()
    outputs, weights = drawn(N, 3).requires_grad_(), drawn(N, 1).abs()
    y = 0.7 * ones + 0.1 if is_smoothed else ones
    loss = weights[:, 0] * focal(outputs.log_softmax(dim=1), y, gamma)
    (expected,) = torch.autograd.grad(loss.sum(), outputs)
    gradient = loss_gradient("focal", "multiclass", focal_gamma=gamma)
    found = gradient(outputs.detach(), y if is_smoothed else classes, weights)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    outputs, y = drawn(N, 1).requires_grad_(), (classes > 0).double()
    y = 0.7 * y + 0.15 if is_smoothed else y
    log_p = torch.cat([functional.logsigmoid(-outputs), functional.logsigmoid(outputs)], dim=1)
    loss = weights[:, 0] * focal(log_p, torch.stack([1 - y, y], dim=1), gamma)
    (expected,) = torch.autograd.grad(loss.sum(), outputs)
    found = loss_gradient("focal", "binary", focal_gamma=gamma)(outputs.detach(), y, weights)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_focal_gradients_of_sure_rows_are_finite() -> None:
    outputs = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]])
    gradient = loss_gradient("focal", "multiclass", focal_gamma=0.5)
    found = gradient(outputs, torch.tensor([0, 0]), 1.0)
    assert found[0].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(found[1], torch.tensor([-1.0, 1.0, 0.0]), rtol=1e-6, atol=1e-6)


def test_quantile_and_poisson_gradients_are_autograd_s() -> None:
    outputs, y, weights = drawn(N, 1).requires_grad_(), drawn(N, 2)[:, 1], drawn(N, 1).abs()
    above = y - outputs[:, 0]
    loss = weights[:, 0] * torch.maximum(0.9 * above, -0.1 * above)
    (expected,) = torch.autograd.grad(loss.sum(), outputs)
    found = loss_gradient("quantile", "regression", quantile=0.9)(outputs.detach(), y, weights)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    loss = weights[:, 0] * functional.poisson_nll_loss(outputs[:, 0], y.abs(), reduction="none")
    (expected,) = torch.autograd.grad(loss.sum(), outputs)
    found = loss_gradient("poisson", "regression")(outputs.detach(), y.abs(), weights)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("link", ["identity", "log1p"])
def test_a_scale_leads_to_the_targets_and_back(link: Link) -> None:
    y = 1000 * drawn(N).exp()
    scale = TargetScale.fit(y, link)
    learned = scale.learned(y)
    assert learned.mean() == pytest.approx(0, abs=1e-9)
    assert learned.std(correction=0) == pytest.approx(1)
    torch.testing.assert_close(scale.values(learned), y, rtol=1e-9, atol=0.0)


def test_with_poisson_an_output_is_the_logarithm_of_a_multiple_of_the_mean() -> None:
    y = torch.tensor([0.0, 1.0, 5.0])
    scale = TargetScale.fit(y, "log")
    assert scale.learned(y).tolist() == pytest.approx([0.0, 0.5, 2.5])
    assert scale.values(torch.tensor([0.5, 2.5]).log()).tolist() == pytest.approx([1.0, 5.0])
