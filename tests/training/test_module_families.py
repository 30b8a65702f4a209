"""Families of plain modules: trained by autograd, alone, in turn beside packs, and TabM."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from hpo.config.trial import LOSSES
from hpo.training.batches import BatchLoader
from hpo.training.families.autograd import NetworkError, random_state
from hpo.training.families.family import family_of
from hpo.training.families.tabm import TabMConfig
from hpo.training.families.tabm.network import TabM
from hpo.training.inputs import Inputs
from hpo.training.losses import loss_gradient, smoothed
from hpo.training.metrics import mean_over_heads, predictions
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.random import Stream
from hpo.training.single import SingleTrainer, train
from hpo.training.targets import TargetScale
from hpo.training.trainer import Failed, Finished, Progress, Run
from tests.support.families import StrangeConfig
from tests.support.training import DEVICES, OBJECTIVES, toy_config, toy_data


def config_of(model, task="regression", **training):
    return replace(toy_config(task, **{"max_epochs": 6, **training}), model=model)


def same(a, b) -> bool:
    equal = all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    return equal and (a.best_value, a.metrics, a.n_steps) == (b.best_value, b.metrics, b.n_steps)


def drive(trainer, n):
    """Events until so many runs have ended."""
    events = []
    while sum(isinstance(event, Finished | Failed) for event in events) < n:
        events += trainer.advance(0.05)
    return events


EMBEDDED = {"embedding": "periodic", "embedding_size": 3, "n_frequencies": 5, "category_size": 2}
COLUMNS = Inputs(
    n_numbers=2, n_others=1, sizes=(4, 3), x_train=torch.linspace(0, 1, 50).view(10, 5)
)


@pytest.mark.parametrize("layers", [{}, EMBEDDED], ids=["plain", "embedded"])
@pytest.mark.parametrize("mini", [False, True])
def test_tabm_is_a_loop_over_mlps_with_factors(mini, layers):
    torch.manual_seed(3)
    config = TabMConfig(k=4, depth=3, width=7, activation="tanh", mini=mini, **layers)
    network = TabM(COLUMNS if layers else Inputs(n_numbers=5), 2, config).double()
    for parameter in network.parameters():  # factors that differ from 1
        parameter.data.add_(torch.randn_like(parameter))
    x = torch.randn(6, 5, dtype=torch.float64)
    x[:, 3:] = torch.randint(0, 4, (6, 2))
    found = []
    for member in range(4):
        a = network.embedding(x) if layers else x
        a = a * network.factors[member] if mini else a
        for layer in network.hidden:
            weight, bias = layer.weight, layer.bias
            if not mini:
                weight = weight * torch.outer(layer.s[member], layer.r[member])
                bias = bias[member]
            a = torch.tanh(functional.linear(a, weight, bias))
        head = network.heads
        found.append(functional.linear(a, head.weight[member].t(), head.bias[member]))
    torch.testing.assert_close(network(x), torch.stack(found, dim=1), rtol=1e-9, atol=1e-9)


def first_factors(network):
    return network.hidden[0].r if network.factors is None else network.factors


@pytest.mark.parametrize("mini", [False, True])
def test_tabm_begins_with_random_signs_of_the_features_and_equal_members(mini):
    network = family_of(config := TabMConfig(k=8, mini=mini)).build(
        config, Inputs(n_numbers=9), 1, seed=1
    )
    assert set(first_factors(network).unique().tolist()) == {-1.0, 1.0}
    if not mini:
        others = [
            network.hidden[0].s,
            *(f for layer in network.hidden[1:] for f in (layer.r, layer.s)),
        ]
        assert all((factors == 1).all() for factors in others)
        assert all((layer.bias == layer.bias[0]).all() for layer in network.hidden)
    weights, others = family_of(config).parameters(network)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert all(names[id(each)].endswith("bias") for each in others)
    assert not any(names[id(each)].endswith("bias") for each in weights)


@pytest.mark.parametrize("mini", [False, True])
def test_tabm_begins_with_a_normal_factor_for_each_embedded_column(mini):
    config = TabMConfig(k=400, width=4, mini=mini, **EMBEDDED)
    network = family_of(config).build(config, COLUMNS, 1, seed=1)
    factors = first_factors(network)
    assert factors.shape == (400, 1 + 2 * 2 + 2 * 3)
    plain, first_codes, second_codes, numbers = factors.split([1, 2, 2, 6], dim=1)
    columns = [plain, first_codes, second_codes, numbers[:, ::2], numbers[:, 1::2]]
    assert all((column == column[:, :1]).all() for column in columns)
    drawn = torch.cat([column[:, :1] for column in columns], dim=1)
    assert abs(drawn.mean()) < 0.1
    assert 0.9 < drawn.std() < 1.1
    assert 2 < drawn.abs().max() < 6
    assert torch.corrcoef(drawn.t()).fill_diagonal_(0).abs().max() < 0.2
    signs = replace(config, embedding="none")
    network = family_of(signs).build(signs, COLUMNS, 1, seed=1)
    assert set(first_factors(network).unique().tolist()) == {-1.0, 1.0}


def test_frequencies_of_an_embedding_do_not_decay_and_knots_are_no_state():
    config = TabMConfig(k=2, width=4, **EMBEDDED)
    network = family_of(config).build(config, COLUMNS, 1, seed=1)
    weights, others = family_of(config).parameters(network)
    names = {id(t): name for name, t in network.state_dict(keep_vars=True).items()}
    assert {names[id(each)] for each in weights} >= {"embedding.weight", "embedding.categories"}
    found = {names[id(each)] for each in others if names[id(each)].startswith("embedding")}
    assert found == {"embedding.bias", "embedding.frequencies"}
    assert "embedding.knots" in names.values()


def activations(network, x):
    """What goes into each layer's dropout and what comes out."""
    found = []

    def note(_, given, out):
        found.append((given[0], out))

    hook = network.dropout.register_forward_hook(note)
    network(x)
    hook.remove()
    return found


def test_tabm_drops_units_of_each_member_and_layer_on_their_own():
    config = TabMConfig(k=3, depth=2, width=200, dropout=0.25, activation="sigmoid")
    network = TabM(Inputs(n_numbers=4), 1, config).train()
    x = torch.randn(20, 4)
    torch.manual_seed(5)
    layers = activations(network, x)
    kept = []
    for before, after in layers:
        kept.append(after != 0)
        torch.testing.assert_close(after, before * kept[-1] / 0.75)
        assert kept[-1].float().mean() == pytest.approx(0.75, abs=0.02)
        (gradient,) = torch.autograd.grad(after.sum(), before, retain_graph=True)
        torch.testing.assert_close(gradient, kept[-1] / 0.75)
    masks = torch.cat(kept).flatten(1).float()
    assert torch.corrcoef(masks).fill_diagonal_(0).abs().max() < 0.1
    torch.manual_seed(5)
    again = [after for _, after in activations(network, x)]
    assert all(torch.equal(after, other) for (_, after), other in zip(layers, again, strict=True))
    other = [after != 0 for _, after in activations(network, x)]
    assert not torch.equal(torch.cat(other), torch.cat(kept))
    assert all(before is after for before, after in activations(network.eval(), x))


def test_hidden_layers_of_tabm_are_in_bfloat16_throughout():
    config = TabMConfig(k=3, depth=2, width=32, dropout=0.1, **EMBEDDED)
    network = family_of(config).build(config, COLUMNS, 1, seed=1)
    x = torch.cat([torch.randn(20, 3), torch.randint(0, 3, (20, 2)).float()], dim=1)
    exact = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = network.train()(x)
        found.sum().backward()
        layers = activations(network, x)
        inputs = network.embedding(x)
        torch.testing.assert_close(network.eval()(x), exact, rtol=0.03, atol=0.03)
    assert {part.dtype for layer in layers for part in layer} == {torch.bfloat16}
    assert found.dtype == inputs.dtype == torch.float32
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("task", OBJECTIVES)
@pytest.mark.parametrize("heads", [0, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_are_those_of_the_mean_loss_of_the_heads(task, heads, smoothing):
    data, model = toy_data(task), StrangeConfig(heads=heads)
    family, n_outputs = family_of(model), data.n_outputs
    network = family.build(model, data.inputs, n_outputs, seed=1).double()
    network.hidden[2].p = 0.0
    passes = family.passes(
        model, network, seed=1, gradient=loss_gradient(LOSSES[task][0], task), working=torch.float64
    )
    x, y = data.x_train[:32].double(), data.y_train[:32]
    before = passes.parameters.values.clone()
    torch.manual_seed(5)
    is_smoothed = smoothing and task != "regression"
    targets = smoothed(y, n_outputs, smoothing, torch.float64) if is_smoothed else y
    passes.run(x, targets, 0)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(state, torch.get_rng_state())  # the caller's random state is untouched
    passes.parameters.values.copy_(before)
    reference = {p: p.grad.clone() for p in network.parameters()}
    for parameter in network.parameters():
        parameter.grad = None
    with random_state(torch.device("cpu"), Stream.DROPOUT, 1, 0):
        outputs = network.train()(x)
    outputs = outputs[:, None] if outputs.ndim == 2 else outputs
    losses, smooth = [], y.double() * (1 - smoothing) + smoothing / 2
    for head in outputs.unbind(1):
        if task == "regression":
            losses.append(functional.mse_loss(head[:, 0], y.double()))
        elif task == "binary":
            losses.append(functional.binary_cross_entropy_with_logits(head[:, 0], smooth))
        else:
            losses.append(functional.cross_entropy(head, y, label_smoothing=smoothing))
    torch.stack(losses).mean().backward()
    for parameter, gradient in reference.items():
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("task", OBJECTIVES)
def test_a_mean_over_heads_is_the_mean_of_predictions(task):
    n_outputs = 3 if task == "multiclass" else 1
    outputs = 30 * torch.randn(7, 4, n_outputs, dtype=torch.float64)
    scale = TargetScale(2.0, 3.0)
    each = [predictions(task, head, scale) for head in outputs.unbind(1)]
    found = predictions(task, mean_over_heads(task, outputs), scale)
    torch.testing.assert_close(found, torch.stack(each).mean(dim=0))
    torch.testing.assert_close(mean_over_heads(task, outputs[:, 0]), outputs[:, 0])


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize(
    "model",
    [
        StrangeConfig(heads=2),
        TabMConfig(k=4, width=32, dropout=0.2),
        TabMConfig(k=4, width=32, dropout=0.2, **EMBEDDED),
    ],
)
def test_a_run_repeats_and_resumes_to_the_bit(model, precision, device):
    data, config = toy_data(), config_of(model, precision=precision)
    whole = train(config, data, device)
    torch.manual_seed(99)  # the process's own random state does not matter
    trainer = SingleTrainer(device)
    trainer.admit(Run(key=0, config=config, data=data))
    for _ in range(7):
        events = trainer.advance(0.0)
        checkpoint = trainer.checkpoint(0)
        assert not any(isinstance(event, Finished) for event in events)
        trainer = SingleTrainer(device)
        trainer.admit(Run(key=0, config=config, data=data), checkpoint)
    (resumed,) = [e.result for e in trainer.advance(math.inf) if isinstance(e, Finished)]
    assert whole.status == "complete"
    assert whole.metrics["r2"] > 0
    assert same(whole, resumed)


@pytest.mark.parametrize("task", OBJECTIVES)
def test_metrics_are_those_of_the_exported_network(task):
    data = toy_data(task)
    result = train(config_of(TabMConfig(k=4, width=16), task), data, "cpu")
    name = OBJECTIVES[task]
    assert result.metrics[name] == pytest.approx(result.best_value, rel=1e-5)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("build", "model family strange: ValueError: no such network"),
        ("shape", r"model family strange: the outputs of 3 rows must have the shape \(3, 1\)"),
        ("raise", "model family strange: RuntimeError: no such step"),
        ("rows", "model family strange: "),
    ],
)
def test_a_faulty_network_fails_its_run_alone(fault, reason):
    data, trainer = toy_data(), PackedTrainer("cpu", 3)
    models = [StrangeConfig(fault=fault), StrangeConfig(), toy_config().model]
    for key, model in enumerate(models):
        assert trainer.admit(Run(key=key, config=config_of(model), data=data))
    events = drive(trainer, 3)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.key == 0
    assert re.match(reason, failed.reason), failed.reason
    assert {event.key for event in events if isinstance(event, Finished)} == {1, 2}


def test_outputs_that_are_not_finite_end_a_run_with_the_family_in_the_reason():
    result = train(config_of(StrangeConfig(fault="nan")), toy_data(), "cpu")
    assert result.status == "diverged"
    assert result.reason.startswith("outputs of the model family strange or rmse are not finite")


def test_runs_without_packs_train_in_turn_beside_a_pack(monkeypatch):
    placed = []

    def place(*args, **keywords):
        placed.append(BatchLoader(*args, **keywords))
        return placed[-1]

    monkeypatch.setattr("hpo.training.batches.BatchLoader", place)
    data, trainer = toy_data(), PackedTrainer("cpu", 4)
    tabm = config_of(TabMConfig(k=2, width=16))
    configs = [
        tabm,
        toy_config(max_epochs=6),
        replace(tabm, training=replace(tabm.training, seed=1)),
    ]
    for key, config in enumerate(configs):
        assert trainer.admit(Run(key=key, config=config, data=data))
    assert trainer.admit(Run(key=3, config=configs[0], data=data))
    assert not trainer.admit(Run(key=4, config=configs[1], data=data))
    events = trainer.advance(0.0)
    assert trainer.checkpoint(0).n_steps > 0
    assert trainer.describe()[-1] == "3 runs in turn, without packs"
    trainer.evict(3)
    assert trainer.checkpoint(3) is None
    events += drive(trainer, 3)
    results = {event.key: event.result for event in events if isinstance(event, Finished)}
    assert results.keys() == {0, 1, 2}
    assert len(placed) == 1
    assert same(results[0], train(configs[0], data, "cpu"))
    assert same(results[2], train(configs[2], data, "cpu"))
    n_measured = sum(len(e.measurements) for e in events if isinstance(e, Progress) and e.key == 0)
    assert n_measured == results[0].n_epochs


def test_a_run_without_packs_can_be_finished_early():
    data, trainer = toy_data(), PackedTrainer("cpu", 2)
    trainer.admit(Run(key=5, config=config_of(StrangeConfig(), max_epochs=1000), data=data))
    assert trainer.finish(5) is None
    while not any(isinstance(event, Progress) for event in trainer.advance(0.0)):
        pass
    assert trainer.finish(5).status == "complete"
    assert trainer.advance(0.0) == []


def test_buffers_are_part_of_the_state():
    model = StrangeConfig()
    network = family_of(model).build(model, Inputs(n_numbers=4), 1, seed=0)
    _, others = family_of(model).parameters(network)
    statistics = network.hidden[1]
    assert any(each is statistics.running_mean for each in others)
    assert not any(each is statistics.num_batches_tracked for each in others)


def test_codes_of_categories_are_not_taken_for_numbers():
    model, inputs = StrangeConfig(), Inputs(n_numbers=1, sizes=(30,))
    with pytest.raises(NetworkError, match=r"family strange.*max_one_hot.* a column has 30"):
        family_of(model).build(model, inputs, 1, seed=0)
