import copy

import pytest
import torch
from torch import nn

from hpo.config.trial import OptimizerConfig
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.parameters import MLPParameters
from hpo.training.inputs import Inputs
from hpo.training.optimizers import Optimizer
from tests.support.training import DEVICES

TORCH = {
    "sgd": lambda groups, rate: torch.optim.SGD(groups, lr=rate, momentum=0.7),
    "adam": lambda groups, rate: torch.optim.Adam(groups, lr=rate),
    "adamw": lambda groups, rate: torch.optim.AdamW(groups, lr=rate),
    "rmsprop": lambda groups, rate: torch.optim.RMSprop(groups, lr=rate),
}
RATE = 1e-2


def compare(
    config: OptimizerConfig,
    clip: float,
    device: torch.device = torch.device("cpu"),
    scale: float = 1.0,
) -> None:
    """BatchLoader both sides the same 20 gradients; all parameters must stay together."""
    ours = MLP(Inputs(n_numbers=4), 2, MLPConfig(depth=3, width=6), seed=2).to(device)
    theirs = copy.deepcopy(ours)
    parameters = MLPParameters(ours, torch.float32)
    optimizer = Optimizer(parameters, config, clip)
    weights = [p for p in theirs.parameters() if p.ndim == 2]
    biases = [p for p in theirs.parameters() if p.ndim == 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": biases, "weight_decay": 0.0},
    ]
    reference = TORCH[config.name](groups, config.learning_rate)
    generator = torch.Generator().manual_seed(0)
    layers = {id(linear): layer for linear, layer in zip(_linears(ours), parameters.layers)}
    for _ in range(20):
        for mine, yours in zip(_linears(ours), _linears(theirs), strict=True):
            layer = layers[id(mine)]
            for target, parameter in (
                (layer.weight_gradient, yours.weight),
                (layer.bias_gradient, yours.bias),
            ):
                gradient = torch.randn(target.shape, generator=generator).mul(scale).to(device)
                target.copy_(gradient)
                parameter.grad = gradient.clone()
        with torch.no_grad():
            optimizer.step()
            if clip:
                nn.utils.clip_grad_norm_(theirs.parameters(), clip)
            for parameter in weights:
                parameter.grad.add_(parameter.sign(), alpha=config.l1)
        reference.step()
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-5, atol=1e-6)


def _linears(network: MLP) -> list[nn.Linear]:
    return [*network.hidden, network.output]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", TORCH)
def test_it_is_pytorch_s(name, decay, device):
    config = OptimizerConfig(name=name, learning_rate=RATE, weight_decay=decay, momentum=0.7)
    compare(config, clip=0.0, device=device)


@pytest.mark.parametrize("name", TORCH)
def test_l1_is_added_to_the_gradient_of_weights(name):
    config = OptimizerConfig(name=name, learning_rate=RATE, weight_decay=0.1, l1=0.2, momentum=0.7)
    compare(config, clip=0.0)


@pytest.mark.parametrize("scale", [1e-3, 1.0])
@pytest.mark.parametrize("name", TORCH)
def test_gradients_are_clipped_by_their_norm_together(name, scale):
    config = OptimizerConfig(name=name, learning_rate=RATE, weight_decay=0.1, l1=0.01, momentum=0.7)
    compare(config, clip=0.5, scale=scale)


def test_a_step_without_momentum_is_plain_descent():
    network = MLP(Inputs(n_numbers=2), 1, MLPConfig(depth=1, width=3))
    parameters = MLPParameters(network, torch.float32)
    before = parameters.values.clone()
    parameters.gradients.fill_(0.5)
    config = OptimizerConfig(name="sgd", learning_rate=0.1, momentum=0.0)
    with torch.no_grad():
        Optimizer(parameters, config, 0.0).step()
    torch.testing.assert_close(parameters.values, before - 0.05)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_steps_are_counted_as_the_fused_update_reads_them(name):
    """Its kernel on a GPU takes the counter for float32 unseen; that of the processor converts."""
    network = MLP(Inputs(n_numbers=4), 2, MLPConfig(depth=1, width=6), seed=2).double()
    parameters = MLPParameters(network, torch.float64)
    optimizer = Optimizer(parameters, OptimizerConfig(name=name), gradient_clip=0.0)
    usual = torch.optim.Adam(network.parameters(), fused=True)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    usual.step()
    assert optimizer.memory["step"].dtype == next(iter(usual.state.values()))["step"].dtype
