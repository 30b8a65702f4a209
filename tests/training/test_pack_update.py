"""Updates of a pack, given equal gradients, against each network's own optimizer."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hpo.config.trial import OptimizerName
from hpo.training.checkpoint import OPTIMIZER, VALUES
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.pack_layout import PackLayout
from hpo.training.families.mlp.parameters import MLPParameters
from hpo.training.inputs import Inputs
from hpo.training.optimizers import Optimizer
from hpo.training.packs.run import MEAN, MEAN_SQUARE, VELOCITY, PackedRun, joined
from hpo.training.packs.update import PackOptimizer, scales, update
from hpo.training.precision import master_dtype
from hpo.training.trainer import Run
from tests.support.packs import FEW, TOLERANCES, assert_near, endless, packs, single
from tests.support.training import DEVICES, toy_config, toy_data

N_UPDATES = 5
N_BATCHES = 3


class Both:
    """The same networks in a pack and alone, from the same states."""

    def __init__(self, configs, data, checkpoints, device) -> None:
        self.configs = configs
        dtype = master_dtype(configs[0].training.precision)
        models = tuple(config.model for config in configs)
        width = max(model.width for model in models) + 2
        self.layout = PackLayout(models, Inputs(n_numbers=5), n_outputs=1, width=width)
        self.blocks = self.layout.blocks
        self.values, self.gradients = (
            [block.zeros(dtype, device) for block in self.blocks] for _ in range(2)
        )
        self.pack = PackOptimizer(configs, self.blocks, dtype, device, N_BATCHES)
        self.steps = torch.tensor([c.n_steps if c else 0 for c in checkpoints], device=device)
        self.alone = []
        for slot, (config, checkpoint) in enumerate(zip(configs, checkpoints, strict=True)):
            network = MLP(Inputs(n_numbers=5), 1, config.model, seed=config.training.seed).to(
                device, dtype
            )
            parameters = MLPParameters(network, dtype)
            optimizer = Optimizer(parameters, config.optimizer, config.training.gradient_clip)
            if checkpoint:
                parameters.values.copy_(checkpoint.tensors[VALUES])
                for name, memory in optimizer.memory.items():
                    memory.copy_(checkpoint.tensors[f"optimizer.{name}"])
            self.alone.append((parameters, optimizer))
            run = Run(key=slot, config=config, data=data)
            flat = PackedRun.of(run, checkpoint, device).tensors()
            for name in (VALUES, MEAN, MEAN_SQUARE):
                self.put(name, slot, flat[name].to(device))

    def buffers(self, name):
        return {VALUES: self.values, MEAN: self.pack.mean, MEAN_SQUARE: self.pack.mean_square}[name]

    def put(self, name, slot, flat, into=None) -> None:
        own = self.layout.cut(into or self.buffers(name), slot)
        for part, found in zip(own, flat.split([p.numel() for p in own]), strict=True):
            part.copy_(found.view(part.shape))

    def step(self, generator, scale=1.0) -> None:
        for slot, (parameters, optimizer) in enumerate(self.alone):
            drawn = torch.randn(len(parameters.values), generator=generator, dtype=torch.float64)
            parameters.gradients.copy_(scale * drawn)
            self.put("", slot, parameters.gradients, into=self.gradients)
            optimizer.step()
        copies = [None] * len(self.blocks)
        self.pack.step(self.values, copies, self.gradients, self.steps, update, scales)
        self.steps += 1

    def assert_same(self, tolerance) -> None:
        for slot, (parameters, optimizer) in enumerate(self.alone):
            expected = {f"{OPTIMIZER}{name}": t for name, t in optimizer.memory.items() if t.ndim}
            if VELOCITY in expected:
                expected[MEAN] = expected.pop(VELOCITY)
                if not self.configs[slot].optimizer.momentum:
                    del expected[MEAN]  # alone it is not kept, in a pack not looked at
            for name, theirs in {VALUES: parameters.values, **expected}.items():
                ours = joined(self.layout.cut(self.buffers(name), slot))
                assert_near(ours, theirs, tolerance)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", TOLERANCES)
@FEW
@given(drawn=st.data())
def test_updates_are_those_of_each_optimizer_alone(precision, device, drawn):
    data = toy_data(n_rows=90)
    configs = drawn.draw(packs("regression", precision))
    configs = sorted(map(endless, configs), key=lambda config: -config.model.depth)
    checkpoints = [single(c, data, device, drawn.draw(st.integers(1, 9))) for c in configs]
    both, generator = Both(configs, data, checkpoints, device), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _ in range(N_UPDATES):
            both.step(generator)
            both.assert_same(TOLERANCES[precision])


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_from_rest(name, precision):
    optimizer = {"name": name, "learning_rate": 1e-2, "weight_decay": 0.1, "l1": 0.01}
    configs = [
        toy_config(optimizer=optimizer, precision=precision, gradient_clip=clip, model={"depth": 3})
        for clip in (0.0, 0.5)
    ]
    both = Both(configs, toy_data(), [None, None], torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for scale in (1.0, 1e-3, 10.0):
            both.step(generator, scale)
            both.assert_same(TOLERANCES[precision])
