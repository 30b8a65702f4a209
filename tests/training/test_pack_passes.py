"""Gradients of a pack against those of each network alone, from states along a real curve."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpo.config.trial import TrialConfig
from hpo.training.checkpoint import VALUES
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.pack_layout import PackLayout
from hpo.training.families.mlp.pack_passes import PackedMLPs
from hpo.training.families.mlp.parameters import MLPParameters
from hpo.training.families.mlp.passes import MLPPasses
from hpo.training.inputs import Inputs
from hpo.training.packs.run import joined
from hpo.training.random import DropoutMasks, PackedMasks, apply_dropout
from tests.support.packs import FEW, TOLERANCES, assert_near, endless, packs, single
from tests.support.training import DEVICES, OBJECTIVES, gradient_of, toy_config, toy_data

N_ROWS = 11


class Together:
    """Networks in one pack, at a state and with a batch each."""

    def __init__(self, configs, data, values, device) -> None:
        self.data, self.device, self.dtype = data, device, values[0].dtype
        self.configs = configs
        models = tuple(config.model for config in configs)
        width = max(model.width for model in models) + 3
        self.layout = PackLayout(models, Inputs(n_numbers=5), n_outputs=data.n_outputs, width=width)
        self.values, self.gradients = (
            [block.zeros(self.dtype, device) for block in self.layout.blocks] for _ in range(2)
        )
        for buffer in self.gradients:
            buffer.fill_(float("nan"))
        for slot, flat in enumerate(values):
            own = self.layout.cut(self.values, slot)
            for part, found in zip(own, flat.split([p.numel() for p in own]), strict=True):
                part.copy_(found.view(part.shape))
        rates = [model.dropout for model in models]
        seeds = [config.training.seed for config in configs]
        masks = PackedMasks.of(seeds, rates, width, self.dtype, device) if any(rates) else None
        gradient = gradient_of(configs[0])
        self.passes = PackedMLPs(self.layout, masks, gradient, self.dtype, device)
        self.passes.bind(self.values, self.gradients)

    def run(self, x, y, n_rows, steps) -> None:
        """Of each network's batch the first rows count; the others are there to be ignored."""
        counts = torch.tensor(n_rows, device=self.device)[:, None]
        is_row = torch.arange(x.shape[1], device=self.device) < counts
        weights = (is_row.to(self.dtype) / counts)[..., None]
        steps = torch.tensor(steps, device=self.device)
        self.passes.run(x, y, weights, steps, apply_dropout, PackedMasks.keys)

    def own(self, slot: int) -> torch.Tensor:
        return joined(self.layout.cut(self.gradients, slot))

    def padding(self, buffers) -> torch.Tensor:
        """All that belongs to no network."""
        is_padding = [torch.ones_like(buffer, dtype=torch.bool) for buffer in buffers]
        for slot in range(len(self.configs)):
            for part in self.layout.cut(is_padding, slot):
                part.zero_()
        return torch.cat([b[is_own] for b, is_own in zip(buffers, is_padding, strict=True)])


class Alone:
    """One of them by itself."""

    def __init__(self, config: TrialConfig, data, values, device) -> None:
        network = MLP(Inputs(n_numbers=5), data.n_outputs, config.model).to(device, values.dtype)
        self.parameters = MLPParameters(network, values.dtype)
        self.parameters.values.copy_(values)
        model = config.model
        masks = None
        if model.dropout:
            seed = config.training.seed
            masks = DropoutMasks(seed, model.dropout, model.depth, model.width, values.dtype)
        gradient = gradient_of(config)
        self.passes = MLPPasses(self.parameters, model.activation, masks, gradient, values.dtype)

    def gradients(self, x, y, step) -> torch.Tensor:
        self.passes.run(x, y, step)
        return self.parameters.gradients


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("task", OBJECTIVES)
@FEW
@given(drawn=st.data())
def test_gradients_and_outputs_are_those_of_each_network_alone(task, precision, device, drawn):
    data = toy_data(task, n_rows=90)
    configs = sorted(drawn.draw(packs(task, precision)), key=lambda config: -config.model.depth)
    steps = [drawn.draw(st.integers(1, 9)) for _ in configs]
    n_rows = [drawn.draw(st.integers(1, N_ROWS)) for _ in configs]
    states = [
        single(endless(c), data, device, step).tensors[VALUES].to(device)
        for c, step in zip(configs, steps, strict=True)
    ]
    index = torch.randint(90, (len(configs), N_ROWS), generator=torch.Generator().manual_seed(1))
    x = data.x_train[index].to(device, states[0].dtype)
    y = data.y_train[index].to(device)
    if task == "regression":
        y = data.scale().learned(y).to(states[0].dtype)
    with torch.no_grad():
        pack = Together(configs, data, states, device)
        pack.run(x, y, n_rows, steps)
        outputs = pack.passes.outputs(pack.values, [x[0]])
        for slot, (config, n, step) in enumerate(zip(configs, n_rows, steps, strict=True)):
            lone = Alone(config, data, states[slot], device)
            expected = lone.gradients(x[slot, :n], y[slot, :n], step)
            assert_near(pack.own(slot), expected, TOLERANCES[precision])
            assert_near(outputs[slot], lone.passes.outputs(x[0]), TOLERANCES[precision])
    assert pack.padding(pack.gradients).eq(0).all()


def test_a_network_that_is_no_number_leaves_its_neighbours_alone():
    data = toy_data(n_rows=90)
    configs = [toy_config(model={"depth": d, "width": 8 + d, "dropout": 0.1}) for d in (3, 3, 1)]
    states = [single(c, data, "cpu", 1).tensors[VALUES] for c in configs]
    states[1] = torch.full_like(states[1], float("nan"))
    x, y = data.x_train[:N_ROWS].expand(3, -1, -1), data.y_train[:N_ROWS].float().expand(3, -1)
    with torch.no_grad():
        pack = Together(configs, data, states, torch.device("cpu"))
        pack.run(x, y, [N_ROWS] * 3, [1] * 3)
        for slot in (0, 2):
            lone = Alone(configs[slot], data, states[slot], torch.device("cpu"))
            assert_near(pack.own(slot), lone.gradients(x[slot], y[slot], 1), 1e-5)
