"""The embedding of an MLP's inputs: alone, in packs, and on columns as people have them."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from hpo.config.trial import Activation, OptimizerName, TrialConfig
from hpo.training.batches import TrainingData
from hpo.training.checkpoint import VALUES, Checkpoint
from hpo.training.families.embeddings.numbers import LIMIT
from hpo.training.families.embeddings.parts import SCALE_RATE
from hpo.training.families.family import family_of, trained_network
from hpo.training.families.leaves import Embedding
from hpo.training.families.mlp import MLPConfig
from hpo.training.families.mlp.network import MLP
from hpo.training.families.mlp.parameters import MLPParameters
from hpo.training.families.packing import PackSpec
from hpo.training.families.tabm import TabMConfig
from hpo.training.inputs import Inputs
from hpo.training.losses import loss_gradient
from hpo.training.packs.run import joined
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.random import DropoutMasks, PackedMasks, apply_dropout
from hpo.training.record import Result
from hpo.training.single import SingleTrainer, train
from hpo.training.trainer import Finished, Run
from tests.support.packs import (
    FEW,
    KEY,
    assert_near,
    checkpoint_after,
    single,
    started,
    together,
)
from tests.support.training import DEVICES, toy_config, toy_data

SIZES = (3, 5)
COLUMNS = Inputs(n_numbers=3, flagged=(1,), n_others=2, sizes=SIZES)

embeddings = st.fixed_dictionaries(
    {
        "embedding": st.sampled_from(get_args(Embedding)),
        "embedding_size": st.integers(1, 6),
        "n_bins": st.integers(1, 9),
        "n_frequencies": st.integers(1, 7),
        "sigma": st.sampled_from([0.05, 1.0]),
        "category_size": st.just(3),
        "scale": st.booleans(),
    }
)
layers = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 3),
        "width": st.integers(9, 16),
        "activation": st.sampled_from(get_args(Activation)),
        "dropout": st.sampled_from([0.0, 0.3]),
    }
)


def table(n_rows: int = 90) -> TrainingData:
    """Numbers, one of them with gaps, two plain features, and two columns of codes."""
    plain = toy_data(n_rows=n_rows, n_inputs=3)
    generator = torch.Generator().manual_seed(3)

    def widened(numbers: torch.Tensor) -> torch.Tensor:
        flags = (torch.rand(len(numbers), 1, generator=generator) < 0.3).float()
        numbers = torch.cat([numbers[:, :1], numbers[:, 1:2] * (1 - flags), numbers[:, 2:]], dim=1)
        others = torch.randn(len(numbers), 1, generator=generator)
        codes = [torch.randint(size + 1, (len(numbers), 1), generator=generator) for size in SIZES]
        return torch.cat([numbers, flags, others, *[code.float() for code in codes]], dim=1)

    return replace(
        plain, x_train=widened(plain.x_train), x_val=widened(plain.x_val), columns=COLUMNS
    )


def config(model: dict[str, Any], **training: Any) -> TrialConfig:
    return toy_config(model=model, **{"precision": "float64", "batch_size": 32, **training})


def by_hand(network: MLP, model: MLPConfig, x: torch.Tensor) -> torch.Tensor:
    """The first layer's inputs of one row, by the definitions, number by number."""
    assert network.embedding is not None
    parts, found = network.embedding.parts, []
    n_numbers = 0 if model.embedding == "none" else 3
    embedded = []
    for j in range(n_numbers):
        knots = network.embedding.knots[j]
        knots = knots[: len(knots.unique())]
        spread = LIMIT * (knots[-1] - knots[0])
        value = x[j].clamp(knots[0] - spread, knots[-1] + spread)
        if model.embedding == "periodic":
            angles = 2 * math.pi * parts.frequencies[j, 0] * value
            waves = [wave(angle) for angle in angles for wave in (torch.cos, torch.sin)]
            embedded.append(torch.relu(torch.stack(waves) @ parts.weight[j] + parts.bias[j, 0]))
            continue
        if model.embedding == "cosine":
            angles = 2 * math.pi * (parts.frequencies[j, 0] * value + parts.phases[j, 0])
            entries = torch.cat([value[None], torch.cos(angles)])
            embedded.append(entries * parts.weight[j, 0] + parts.bias[j, 0])
            continue
        vector = value * parts.weight[j, 0] + parts.bias[j, 0]
        for t in range(len(knots) - 1):
            share = (value - knots[t]) / (knots[t + 1] - knots[t])
            low = -LIMIT if t == 0 else 0.0
            high = LIMIT if t == len(knots) - 2 else 1.0
            vector = vector + share.clamp(low, high) * parts.weight[j, 1 + t]
        embedded.append(vector)
    found = list(x[n_numbers:5])
    found += list(parts.categories[int(x[5])])
    found += list(parts.categories[SIZES[0] + 1 + int(x[6])])
    found += [vector[k] for k in range(model.embedding_size) for vector in embedded]
    inputs = torch.stack(found)
    return inputs if parts.scale is None else inputs * (1 + SCALE_RATE * parts.scale[0])


@FEW
@given(model=embeddings)
def test_the_embedding_is_as_defined(model):
    chosen, data = MLPConfig(**model), table()
    network = MLP(data.inputs, 1, chosen, seed=1).double()
    assert network.embedding is not None
    for index, parameter in enumerate(network.embedding.parameters()):
        parameter.data = torch.randn(
            parameter.shape,
            generator=torch.Generator().manual_seed(index),
            dtype=torch.float64,
        )
    x = data.x_val[:9].double()
    x[:2, :3] *= 1000  # far beyond what training saw
    found = network.embedding(x)
    expected = torch.stack([by_hand(network, chosen, row) for row in x])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@FEW
@given(model=embeddings, layer=layers)
def test_gradients_are_autograd_s(model, layer):
    chosen, data = MLPConfig(**model, **layer), table()
    network = MLP(data.inputs, 1, chosen, seed=1).double()
    with torch.no_grad():  # what begins at 0 would hide errors
        for parameter in network.parameters():
            parameter += uniform_like(parameter)
    reference = MLP(data.inputs, 1, chosen, seed=1).double()
    reference.load_state_dict(network.state_dict())
    passes = family_of(chosen).passes(
        chosen,
        network,
        seed=4,
        gradient=loss_gradient("mse", "regression"),
        working=torch.float64,
    )
    x, y = data.x_train[:40], torch.linspace(-1, 1, 40, dtype=torch.float64)
    with torch.no_grad():
        passes.parameters.gradients.fill_(float("nan"))
        passes.run(x, y, 3)
        torch.testing.assert_close(
            passes.outputs(x), network.eval()(x.double()), rtol=1e-9, atol=1e-9
        )
    z = reference.embedding(x.double()) if reference.embedding is not None else x.double()
    masks = torch.ones(chosen.depth, 1, 1)
    if chosen.dropout:
        drawn = DropoutMasks(4, chosen.dropout, chosen.depth, chosen.width, torch.float64)
        masks = drawn.draw(3, 40, x.device) * drawn.scale
    for index, hidden in enumerate(reference.hidden):
        z = reference.activation(hidden(z)) * masks[index]
    loss = functional.mse_loss(reference.output(z)[:, 0], y)
    weights, others = family_of(chosen).parameters(reference)
    expected = joined(torch.autograd.grad(loss, [*weights, *others]))
    assert_near(passes.parameters.gradients, expected, 1e-9)


def uniform_like(parameter: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(parameter.numel())
    return torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype) / 2 - 0.25


@FEW
@given(drawn=st.data(), model=embeddings)
def test_gradients_of_a_pack_are_those_of_each_network_alone(drawn, model):
    data = table()
    configs = [drawn.draw(similar(model)) for _ in range(drawn.draw(st.integers(1, 4)))]
    family = family_of(configs[0])
    configs = sorted(configs, key=family.packing.order)
    shared: dict[str, Any] = {
        "gradient": loss_gradient("mse", "regression"),
        "working": torch.float64,
    }
    spec = PackSpec(
        configs=configs,
        seeds=[7] * len(configs),
        inputs=data.inputs,
        n_outputs=1,
        master=torch.float64,
        device=torch.device("cpu"),
        **shared,
    )
    pack = family.packing.networks(spec)
    values, gradients = (
        [block.zeros(torch.float64, torch.device("cpu")) for block in pack.blocks] for _ in range(2)
    )
    x = data.x_train[: 11 * len(configs)].view(len(configs), 11, -1)
    y = torch.linspace(-1, 1, 11 * len(configs), dtype=torch.float64).view(len(configs), 11)
    alone = []
    for slot, chosen in enumerate(configs):
        network = MLP(data.inputs, 1, chosen, seed=slot).double()
        passes = family.passes(chosen, network, seed=7, **shared)
        passes.parameters.values.add_(uniform_like(passes.parameters.values))
        parts = pack.cut(values, slot)
        flat = passes.parameters.values.split([part.numel() for part in parts])
        for part, own in zip(parts, flat, strict=True):
            part.copy_(own.view(part.shape))
        alone.append(passes)
    with torch.no_grad():
        pack.bind(values, gradients)
        weights = torch.full((len(configs), 11, 1), 1 / 11, dtype=torch.float64)
        steps = torch.full((len(configs),), 2)
        pack.run(x, y, weights, steps, apply_dropout, PackedMasks.keys)
        outputs = pack.outputs(values, [data.x_val])
        for slot, passes in enumerate(alone):
            passes.run(x[slot], y[slot], 2)
            assert_near(joined(pack.cut(gradients, slot)), passes.parameters.gradients, 1e-9)
            assert_near(outputs[slot], passes.outputs(data.x_val), 1e-9)
    is_own = [torch.zeros_like(buffer, dtype=torch.bool) for buffer in gradients]
    for slot in range(len(configs)):
        for part in pack.cut(is_own, slot):
            part.fill_(value=True)
    for buffer, own in zip(gradients, is_own, strict=True):
        assert not buffer[~own].any()


def similar(model: dict[str, Any]) -> st.SearchStrategy[MLPConfig]:
    """Networks that may be in a pack with this embedding."""
    sizes = st.fixed_dictionaries(
        {
            "embedding_size": st.integers(1, 6),
            "n_bins": st.integers(1, 9),
            "n_frequencies": st.integers(1, 7),
        }
    )
    return st.builds(lambda own, layer: MLPConfig(**{**model, **own, **layer}), sizes, layers)


EMBEDDED = [
    {"embedding": "piecewise_linear", "embedding_size": 3, "n_bins": 7},
    {"embedding": "piecewise_linear", "embedding_size": 4, "n_bins": 8, "scale": True},
    {"embedding": "periodic", "embedding_size": 4, "n_frequencies": 7, "dropout": 0.2},
    {"embedding": "periodic", "embedding_size": 3, "n_frequencies": 8, "scale": True},
    {"embedding": "cosine", "embedding_size": 5, "sigma": 1.0, "dropout": 0.1},
    {"scale": True},
    {},
]


@pytest.mark.parametrize("device", DEVICES)
def test_curves_of_packs_are_those_of_runs_alone(device):
    data = table()
    configs = [
        config(model, optimizer={"name": name, "weight_decay": 0.05}, max_epochs=3)
        for model in EMBEDDED
        for name in get_args(OptimizerName)
    ]
    endings = together(configs, data, device)
    for key, chosen in enumerate(configs):
        expected = train(chosen, data, device)
        found = endings.results[key]
        assert found.best_value == pytest.approx(expected.best_value, rel=1e-9)
        assert found.weights.keys() == expected.weights.keys()
        for name, weight in expected.weights.items():
            torch.testing.assert_close(found.weights[name], weight, rtol=1e-5, atol=1e-6)


def test_runs_share_a_pack_whatever_embeddings_their_inputs_lack():
    plain = replace(table(), columns=Inputs(n_numbers=0, n_others=7))
    models = [
        {"category_size": 3},
        {"category_size": 5, "embedding": "periodic"},
        {"embedding": "piecewise_linear", "n_bins": 30},
    ]
    configs = [config(model) for model in models]
    trainer = PackedTrainer("cpu", 3)
    for key, chosen in enumerate(configs):
        trainer.admit(Run(key=key, config=chosen, data=plain))
    trainer.advance(0.0)
    assert [line[:7] for line in trainer.describe()] == ["3 runs,"]
    endings = together(configs, plain, "cpu")
    values = [train(chosen, plain, "cpu").best_value for chosen in configs]
    assert [endings.results[key].best_value for key in range(3)] == pytest.approx(values, rel=1e-9)


def test_packs_in_bfloat16_learn_as_runs_alone():
    data = table()
    configs = [
        config({**model, "width": 32}, precision="bfloat16", max_epochs=4) for model in EMBEDDED
    ]
    endings = together(configs, data, "cpu")
    for key, chosen in enumerate(configs):
        expected = train(chosen, data, "cpu")
        assert endings.results[key].best_value == pytest.approx(expected.best_value, rel=0.02)


@pytest.mark.parametrize("model", EMBEDDED[1:4:2])
def test_runs_change_engines_and_resume_to_the_bit(model):
    data, chosen = table(), config(model, max_epochs=3, precision="float32")
    half = single(chosen, data, "cpu", 4)
    whole, resumed = train(chosen, data, "cpu"), resumed_result(chosen, data, half)
    for name, weight in whole.weights.items():
        assert torch.equal(resumed.weights[name], weight)
    in_pack = checkpoint_after(started(PackedTrainer("cpu", 2), chosen, data, half), 7)
    again = single(chosen, data, "cpu", 9, in_pack)
    assert_near(again.tensors[VALUES], single(chosen, data, "cpu", 9).tensors[VALUES], 1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", EMBEDDED[:3:2])
def test_tabm_learns_with_embeddings_and_resumes_to_the_bit(model, precision):
    data = table()
    chosen = replace(
        config({}, max_epochs=12, precision=precision, optimizer={"learning_rate": 1e-2}),
        model=TabMConfig(k=3, width=32, depth=2, **model),
    )
    whole = train(chosen, data, "cpu")
    resumed = resumed_result(chosen, data, single(chosen, data, "cpu", 4))
    assert whole.metrics["r2"] > 0.2
    fresh = family_of(chosen.model).build(chosen.model, data.inputs, 1, seed=0).state_dict()
    for name, weight in whole.weights.items():
        assert torch.equal(resumed.weights[name], weight)
        assert (name == "embedding.knots") == torch.equal(fresh[name], weight)


def resumed_result(chosen: TrialConfig, data: TrainingData, checkpoint: Checkpoint) -> Result:
    trainer = SingleTrainer("cpu")
    assert trainer.admit(Run(key=KEY, config=chosen, data=data), checkpoint)
    (*_, finished) = trainer.advance(math.inf)
    assert isinstance(finished, Finished)
    return finished.result


def test_what_decays():
    data, model = table(), MLPConfig(embedding="periodic", scale=True, depth=2, width=4)
    network = MLP(data.inputs, 1, model)
    weights, others = family_of(model).parameters(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert [names[id(w)] for w in weights][:2] == ["embedding.weight", "embedding.categories"]
    assert [names[id(o)] for o in others][-3:] == [
        "embedding.bias",
        "embedding.frequencies",
        "embedding.scale",
    ]
    assert len(weights) + len(others) == len(names)


def test_a_cosine_embedding_begins_at_zero_and_learns():
    data, chosen = table(), config({"embedding": "cosine", "width": 16}, max_epochs=3)
    network = MLP(Inputs(n_numbers=3), 1, chosen.model, seed=1)
    assert network.embedding is not None
    assert not network.embedding(torch.randn(5, 3)).any()
    weights = train(chosen, data, "cpu").weights
    assert all(weights[f"embedding.{name}"].any() for name in ("weight", "bias", "phases"))


def test_features_that_enter_as_they_are_have_no_embedding():
    network = MLP(Inputs(n_numbers=0, n_others=4), 1, MLPConfig(embedding="periodic"))
    assert network.embedding is None
    assert set(network.state_dict()) == set(MLP(Inputs(n_numbers=4), 1, MLPConfig()).state_dict())


def test_bfloat16_embeds_in_float32():
    data = table()
    model = MLPConfig(embedding="periodic", scale=True, width=32)
    network = MLP(data.inputs, 1, model, seed=1)
    exact = network(data.x_val)
    passes = family_of(model).passes(
        model,
        network,
        seed=0,
        gradient=loss_gradient("mse", "regression"),
        working=torch.bfloat16,
    )
    with torch.no_grad():
        passes.run(data.x_train[:40], data.y_train[:40].float(), 0)
        torch.testing.assert_close(passes.outputs(data.x_val), exact, rtol=0.05, atol=0.05)
    parameters = passes.parameters
    assert isinstance(parameters, MLPParameters)
    assert all(part.dtype == torch.float32 for part in parameters.embedding.weights)


def odd_columns(n_rows: int) -> torch.Tensor:
    """Constant, with two values, mostly missing, all missing, a trillion in one row, and usual."""
    x = torch.zeros(n_rows, 8)
    x[:, 0] = 2.5
    x[::3, 1] = 1.0
    x[:, 2:5] = torch.randn(n_rows, 3, generator=torch.Generator().manual_seed(0))
    x[2:, 2] = 0
    x[:, 3] = 0
    x[5, 4] = 1e12
    x[:, 5] = torch.linspace(-1, 1, n_rows)
    x[2:, 6] = 1.0  # flags of the columns with gaps
    x[:, 7] = 1.0
    return x


@pytest.mark.parametrize(
    "family", [MLPConfig(width=16), MLPConfig(width=16, scale=True), TabMConfig(k=3, width=16)]
)
@pytest.mark.parametrize("embedding", ["piecewise_linear", "periodic", "cosine"])
def test_odd_columns_and_outliers_give_finite_numbers(embedding, family):
    x, y = odd_columns(80), torch.linspace(0, 1, 80, dtype=torch.float64)
    columns = Inputs(n_numbers=6, flagged=(2, 3), n_others=2)
    x_val = odd_columns(80)
    x_val[:6, :6] = torch.diag(torch.full((6,), 1e30))
    x_val[6:12, :6] = -x_val[:6, :6]
    data = TrainingData(
        task="regression", n_classes=0, x_train=x, y_train=y, x_val=x_val, y_val=y, columns=columns
    )
    model = replace(family, depth=2, embedding=embedding, n_bins=200)
    chosen = replace(config({}, precision="float32", max_epochs=3), model=model)
    result = train(chosen, data, "cpu")
    assert result.status == "complete"
    assert all(math.isfinite(value) for value in result.metrics.values())
    network = trained_network(chosen.model, columns, 1, result.weights)
    assert network(x_val).isfinite().all()
    # What the constant and the missing column hold later means nothing.
    usual, changed = odd_columns(80), odd_columns(80)
    changed[:, 0], changed[:, 3] = 7.0, 1e30
    assert torch.equal(network(usual), network(changed))


def test_a_frequent_value_leaves_the_bins_to_the_others():
    others = torch.linspace(1, 2, 101)
    x = torch.cat([torch.zeros(1000), others])[:, None]
    zero, *knots = Inputs(n_numbers=1, x_train=x).knots(11)[0].unique().tolist()
    assert zero == 0
    assert all(high - low < 0.13 for low, high in pairwise([1.0, *knots]))
    assert knots[-1] == 2
    few = torch.cat([torch.zeros(1000), torch.tensor([3.0, 5.0])])[:, None]
    assert Inputs(n_numbers=1, x_train=few).knots(4)[0].tolist() == [0.0, 3.0, 5.0, 5.0, 5.0]


def test_knots_are_quantiles_of_what_is_there():
    x = odd_columns(1001)
    inputs = Inputs(n_numbers=6, flagged=(2, 3), n_others=2, x_train=x)
    knots = inputs.knots(4)
    assert knots[0].tolist() == [2.5] * 5
    assert knots[1].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert sorted(set(knots[2].tolist())) == sorted(x[:2, 2].tolist())
    assert knots[3].tolist() == [0.0] * 5
    torch.testing.assert_close(knots[5], torch.linspace(-1, 1, 5))
    assert inputs.knots(4) is knots
    few = Inputs(n_numbers=1, x_train=torch.tensor([[3.0], [1.0], [2.0]])).knots(48)
    assert few.shape == (1, 49)
    assert few.unique().tolist() == [1.0, 2.0, 3.0]
    assert few[0, 3:].eq(3).all()
