import pytest
import torch
from torch import nn

from hpo.training.families.family import count_parameters
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.mlp.network import MLP
from hpo.training.inputs import Inputs

CONFIG = MLPConfig(depth=2, width=8, activation="silu", dropout=0.5)


def test_parameters_have_standard_names():
    network = MLP(Inputs(n_numbers=3), 4, CONFIG)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes == {
        "hidden.0.weight": (8, 3),
        "hidden.0.bias": (8,),
        "hidden.1.weight": (8, 8),
        "hidden.1.bias": (8,),
        "output.weight": (4, 8),
        "output.bias": (4,),
    }


@pytest.mark.parametrize("depth", [1, 3])
def test_parameters_are_counted(depth):
    config = MLPConfig(depth=depth, width=8)
    network = MLP(Inputs(n_numbers=3), 4, config)
    assert count_parameters(config, Inputs(n_numbers=3), 4) == sum(
        p.numel() for p in network.parameters()
    )


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid", "silu", "gelu"])
def test_it_is_the_network_that_one_would_write(activation):
    network = MLP(Inputs(n_numbers=3), 2, MLPConfig(depth=2, width=8, activation=activation)).eval()
    function = getattr(nn.functional, activation)
    x = torch.randn(5, 3)
    first, second = network.hidden
    expected = network.output(function(second(function(first(x)))))
    assert torch.equal(network(x), expected)


def test_dropout_acts_in_training_alone():
    network = MLP(Inputs(n_numbers=3), 1, CONFIG)
    x = torch.randn(100, 3)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def test_initial_weights_depend_on_the_seed_alone():
    before = torch.random.get_rng_state()
    network = MLP(Inputs(n_numbers=3), 1, CONFIG, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(99)
    again, other = (
        MLP(Inputs(n_numbers=3), 1, CONFIG, seed=5),
        MLP(Inputs(n_numbers=3), 1, CONFIG, seed=6),
    )
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        assert not torch.equal(value, other.state_dict()[name])


def test_initial_weights_are_distributed_as_pytorch_s():
    network = MLP(Inputs(n_numbers=100), 1, MLPConfig(depth=2, width=400))
    for ours, theirs in (
        (network.hidden[0], nn.Linear(100, 400)),
        (network.hidden[1], nn.Linear(400, 400)),
    ):
        for name in ("weight", "bias"):
            drawn, expected = getattr(ours, name), getattr(theirs, name)
            assert drawn.std().item() == pytest.approx(expected.std().item(), rel=0.1)
            assert drawn.abs().max().item() == pytest.approx(expected.abs().max().item(), rel=0.03)


def test_layers_do_not_share_numbers():
    network = MLP(Inputs(n_numbers=8), 8, MLPConfig(depth=3, width=8))
    weights = [network.hidden[0], network.hidden[1], network.hidden[2], network.output]
    assert len({tuple(layer.weight.flatten().tolist()) for layer in weights}) == 4
