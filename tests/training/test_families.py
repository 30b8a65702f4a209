"""The contract of model families, over every built-in one."""

import pytest
import torch

from hpo.config.families import BUILT_IN, ModelConfig, config_type
from hpo.training.families.family import count_parameters, family_of, flatten, trained_network
from hpo.training.families.packing import PackSpec
from hpo.training.inputs import Inputs
from hpo.training.losses import loss_gradient

INPUTS, N_OUTPUTS = Inputs(n_numbers=5), 3


@pytest.fixture(params=BUILT_IN)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return config_type(request.param)()


def test_the_flat_buffer_holds_every_parameter_once(config):
    network = family_of(config).build(config, INPUTS, N_OUTPUTS, seed=1)
    parameters = flatten(config, network)
    assert len(parameters.values) == count_parameters(config, INPUTS, N_OUTPUTS)
    parameters.values.fill_(7.0)
    assert all((parameter == 7.0).all() for parameter in network.parameters())


def test_passes_compute_the_outputs_of_the_network_that_is_exported(config):
    family = family_of(config)
    network = family.build(config, INPUTS, N_OUTPUTS, seed=1)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    passes = family.passes(
        config,
        network,
        seed=1,
        gradient=loss_gradient("cross_entropy", "multiclass"),
        working=torch.float32,
    )
    x = torch.linspace(-1, 1, 20).view(4, 5)
    exported = trained_network(config, INPUTS, N_OUTPUTS, weights).eval()
    with torch.no_grad():
        torch.testing.assert_close(passes.outputs(x), exported(x))


def test_packed_networks_give_back_their_parameters(config):
    packing = family_of(config).packing
    if packing is None:
        pytest.skip("these networks are not packed")
    spec = PackSpec(
        configs=[config, config],
        seeds=[0, 1],
        inputs=INPUTS,
        n_outputs=N_OUTPUTS,
        gradient=loss_gradient("cross_entropy", "multiclass"),
        master=torch.float32,
        working=torch.float32,
        device=torch.device("cpu"),
    )
    packed = packing.networks(spec)
    values = [block.zeros(torch.float32, torch.device("cpu")) for block in packed.blocks]
    sizes = [sum(part.numel() for part in packed.cut(values, slot)) for slot in (0, 1)]
    assert sizes == [count_parameters(config, INPUTS, N_OUTPUTS)] * 2


def test_a_description_is_one_line(config):
    assert family_of(config).describe(config).splitlines() == [family_of(config).describe(config)]
