import copy
from typing import get_args

import pytest
import torch
from torch.nn import functional

from hpo.config.trial import Activation, Loss, Task, resolve_loss
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.parameters import MLPParameters
from hpo.training.families.mlp.passes import MLPPasses
from hpo.training.inputs import Inputs
from hpo.training.losses import loss_gradient
from hpo.training.random import DropoutMasks
from tests.support.training import DEVICES

LOSSES: dict[Loss, tuple[Task, object]] = {
    "bce": ("binary", lambda z, y: functional.binary_cross_entropy_with_logits(z[:, 0], y)),
    "cross_entropy": ("multiclass", functional.cross_entropy),
    "mse": ("regression", lambda z, y: functional.mse_loss(z[:, 0], y)),
    "mae": ("regression", lambda z, y: functional.l1_loss(z[:, 0], y)),
    "huber": ("regression", lambda z, y: functional.huber_loss(z[:, 0], y)),
}
CPU = torch.device("cpu")


class Case:
    """A network twice: for our passes, and, in float64, for autograd."""

    def __init__(
        self,
        *,
        depth: int = 3,
        width: int = 12,
        n_inputs: int = 5,
        activation: Activation = "silu",
        dropout: float = 0.0,
        loss: Loss = "mse",
        working: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:
        config = MLPConfig(depth=depth, width=width, activation=activation, dropout=dropout)
        self.task, self.loss = LOSSES[loss]
        n_outputs = 3 if self.task == "multiclass" else 1
        self.network = MLP(Inputs(n_numbers=n_inputs), n_outputs, config, seed=1).to(device)
        self.reference = copy.deepcopy(self.network).double()
        self.activation = self.reference.activation
        self.parameters = MLPParameters(self.network, working)
        self.masks = DropoutMasks(4, dropout, depth, width, working) if dropout else None
        self.passes = MLPPasses(
            self.parameters, activation, self.masks, loss_gradient(loss, self.task), working
        )
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(40, n_inputs, generator=generator).to(device)
        targets = 2 * torch.randn(40, generator=generator)
        y = {"binary": (targets > 0).float(), "multiclass": torch.arange(40) % 3}
        self.y = y.get(self.task, targets).to(device)

    def gradients(self, step: int = 0) -> list[torch.Tensor]:
        """Ours, in the order of the network's parameters."""
        self.parameters.gradients.fill_(float("nan"))
        with torch.no_grad():
            self.passes.run(self.x, self.y, step)
        values, gradients = self.parameters.values, self.parameters.gradients
        starts = [p.data_ptr() - values.data_ptr() for p in self.network.parameters()]
        return [
            gradients[start // 4 :][: p.numel()].view(p.shape).double()
            for start, p in zip(starts, self.network.parameters(), strict=True)
        ]

    def expected(self, step: int = 0) -> list[torch.Tensor]:
        """Autograd's, with the same dropout masks."""
        masks = None
        if self.masks:
            masks = self.masks.draw(step, len(self.x), self.x.device).double() * self.masks.scale
        x = self.x.double()
        for index, layer in enumerate(self.reference.hidden):
            x = self.activation(layer(x))
            x = x if masks is None else x * masks[index]
        y = self.y if self.task == "multiclass" else self.y.double()
        loss = self.loss(self.reference.output(x), y)
        return list(torch.autograd.grad(loss, list(self.reference.parameters())))


def distance(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    """Largest difference, relative to each tensor's norm."""
    pairs = zip(ours, theirs, strict=True)
    return max(((a - b).norm() / b.norm()).item() for a, b in pairs)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", get_args(Activation))
def test_gradients_are_autograd_s_for_every_activation(activation, dropout, device):
    case = Case(activation=activation, dropout=dropout, device=device)
    assert distance(case.gradients(step=3), case.expected(step=3)) < 1e-5


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_autograd_s_for_every_loss(loss):
    case = Case(loss=loss)
    assert distance(case.gradients(), case.expected()) < 1e-5


@pytest.mark.parametrize(("depth", "width", "n_inputs"), [(1, 7, 5), (2, 5, 30), (6, 9, 1)])
def test_gradients_are_autograd_s_for_every_shape(depth, width, n_inputs):
    case = Case(depth=depth, width=width, n_inputs=n_inputs, dropout=0.2)
    assert distance(case.gradients(), case.expected()) < 1e-5


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_bfloat16_gradients_are_near(depth, device):
    case = Case(depth=depth, width=64, working=torch.bfloat16, dropout=0.2, device=device)
    assert distance(case.gradients(), case.expected()) < 0.03


def test_bfloat16_follows_the_master_weights():
    case = Case(working=torch.bfloat16)
    case.parameters.values.mul_(1.5)
    case.reference.load_state_dict({k: v.double() for k, v in case.network.state_dict().items()})
    with torch.no_grad():
        outputs, expected = case.passes.outputs(case.x), case.network(case.x)
    torch.testing.assert_close(outputs, expected, rtol=0.05, atol=0.05)
    assert distance(case.gradients(), case.expected()) < 0.03


@pytest.mark.parametrize("working", [torch.float32, torch.bfloat16])
def test_outputs_are_the_network_s(working):
    case = Case(working=working, dropout=0.5, width=64)
    with torch.no_grad():
        ours, expected = case.passes.outputs(case.x), case.network.eval()(case.x)
    assert ours.dtype == torch.float32
    tolerance = 1e-6 if working == torch.float32 else 0.02
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


def test_auto_is_the_first_loss_of_a_task_or_that_of_the_metric():
    assert resolve_loss("auto", "regression", "mae") == "mse"
    assert resolve_loss("auto", "regression", "pinball") == "quantile"
    assert resolve_loss("mae", "regression", "pinball") == "mae"
    assert resolve_loss("auto", "binary", "f1") == "bce"


def test_parameters_are_views_of_one_buffer_with_weights_first():
    case = Case(depth=3)
    weights = sum(p.numel() for p in case.network.parameters() if p.ndim == 2)
    assert case.parameters.n_weights == weights
    case.parameters.values[:weights].fill_(2.0)
    case.parameters.values[weights:].fill_(3.0)
    for parameter in case.network.parameters():
        assert (parameter == (2.0 if parameter.ndim == 2 else 3.0)).all()
