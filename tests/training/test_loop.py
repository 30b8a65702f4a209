import math
import time
from dataclasses import replace

import pytest
import torch

from hpo.training.families.mlp.network import MLP
from hpo.training.inputs import Inputs
from hpo.training.metrics import evaluate
from hpo.training.record import Result
from hpo.training.single import SingleTrainer, train
from hpo.training.trainer import Failed, Finished, Progress, Run
from tests.support.training import DEVICES, OBJECTIVES, toy_config, toy_data

CPU = torch.device("cpu")


def drive(trainer, seconds=math.inf):
    """Events until the trainer is idle."""
    events = []
    while batch := trainer.advance(seconds):
        events += batch
    return events


def start(config, data, device=CPU, key=7):
    trainer = SingleTrainer(device)
    assert trainer.admit(Run(key=key, config=config, data=data))
    return trainer


def same(a: Result, b: Result) -> bool:
    equal = all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
    return equal and (a.best_value, a.metrics, a.n_steps) == (b.best_value, b.metrics, b.n_steps)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("task", OBJECTIVES)
def test_it_learns_every_task(task, device):
    data = toy_data(task, n_rows=2000)
    config = toy_config(task, max_epochs=30, model={"width": 64})
    result = train(config, data, device)
    assert result.status == "complete"
    assert result.reason == ""
    if task == "regression":
        assert result.metrics["r2"] > 0.9
    else:
        assert result.metrics["accuracy"] > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_learns_in_every_precision(name, precision, device):
    optimizer = {"name": name, "learning_rate": 3e-2 if name == "sgd" else 3e-3, "l1": 1e-6}
    config = toy_config(
        optimizer=optimizer,
        model={"depth": 3, "width": 32, "dropout": 0.05},
        max_epochs=20,
        precision=precision,
    )
    result = train(config, toy_data(n_rows=1000), device)
    assert result.precision == precision
    assert result.metrics["r2"] > 0.75


@pytest.mark.parametrize("task", OBJECTIVES)
def test_weights_and_metrics_are_those_of_the_best_epoch(task):
    data = toy_data(task)
    config = toy_config(task, max_epochs=8)
    trainer = start(config, data)
    *progress, finished = drive(trainer)
    measurements = [m for event in progress for m in event.measurements]
    assert [m.step for m in measurements] == list(range(1, 9))
    result = finished.result
    pick = max if task == "multiclass" else min
    best = pick(measurements, key=lambda m: m.value)
    assert (result.best_step, result.best_value) == (best.step, best.value)
    network = MLP(Inputs(n_numbers=5), 3 if task == "multiclass" else 1, config.model)
    network.load_state_dict(result.weights)
    with torch.no_grad():
        logits = network.eval()(data.x_val)
    expected = evaluate(
        config.objective,
        task,
        data.n_classes,
        data.scale().values(logits) if task == "regression" else logits,
        data.y_val,
    )
    assert result.metrics == pytest.approx(expected)
    assert result.metrics[OBJECTIVES[task]] == pytest.approx(best.value, rel=1e-5)
    assert all(value.dtype == torch.float32 for value in result.weights.values())


def test_training_stops_when_patience_is_used_up():
    config = toy_config(max_epochs=500, patience=3, optimizer={"learning_rate": 0.03})
    result = train(config, toy_data(), CPU)
    assert result.n_epochs == result.best_step + 3 < 500
    assert result.n_steps == result.n_epochs * 5
    assert result.seconds > 0


def test_a_metric_that_stands_still_is_no_gain():
    config = toy_config("multiclass", patience=4, max_epochs=50, optimizer={"learning_rate": 1e-12})
    result = train(config, toy_data("multiclass"), CPU)
    assert (result.best_step, result.n_epochs) == (1, 5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
def test_the_same_seed_gives_the_same_bits(precision, device):
    config = toy_config(model={"dropout": 0.2, "depth": 3}, precision=precision)
    first = train(config, toy_data(), device)
    torch.manual_seed(1)
    assert same(first, train(config, toy_data(), device))
    other = replace(config, training=replace(config.training, seed=1))
    assert not same(first, train(other, toy_data(), device))


def test_float64_is_float32_but_for_rounding():
    data = toy_data()
    single, double = (
        train(toy_config(precision=name, model={"dropout": 0.2}), data, CPU)
        for name in ("float32", "float64")
    )
    assert single.best_value != double.best_value
    assert single.best_value == pytest.approx(double.best_value, rel=1e-4)
    for name, weight in double.weights.items():
        torch.testing.assert_close(weight, single.weights[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_slices_change_nothing(device):
    config, data = toy_config(model={"dropout": 0.2}), toy_data()
    trainer = start(config, data, device)
    events, n_slices = [], 0
    while not (events and isinstance(events[-1], Finished)):
        events += trainer.advance(0.0)
        n_slices += 1
    assert n_slices == events[-1].result.n_steps + 5  # a step each, and the end of each epoch
    assert same(events[-1].result, train(config, data, device))


def test_a_slice_ends_within_an_epoch():
    data, config = toy_data(n_rows=200_000), toy_config(model={"width": 256})
    trainer = start(config, data)
    trainer.advance(0.0)
    begin = time.thread_time()  # other processes may take the core
    assert trainer.advance(0.1) == []
    assert time.thread_time() - begin < 1.0
    trainer.evict(7)


@pytest.mark.parametrize("metric", ["rmse", "r2"])
def test_divergence_ends_a_run_with_its_epoch(metric):
    config = toy_config(
        metric=metric, optimizer={"name": "sgd", "learning_rate": 90.0}, gradient_clip=0.0
    )
    *progress, finished = drive(start(config, toy_data()))
    result = finished.result
    assert result.status == "diverged"
    assert f"epoch {result.n_epochs}" in result.reason
    assert (result.weights, result.metrics) == ({}, {})
    assert result.best_step < result.n_epochs
    measured = [m.value for event in progress for m in event.measurements]
    assert all(math.isfinite(value) for value in measured)


def test_divergence_shows_where_the_metric_would_hide_it():
    config = toy_config(
        "multiclass", optimizer={"name": "sgd", "learning_rate": 100.0}, gradient_clip=0.0
    )
    data = toy_data("multiclass")
    data.x_train[3, 2] = math.nan
    result = train(config, data, CPU)
    assert result.status == "diverged"
    assert math.isnan(result.best_value)


def test_a_trainer_takes_one_run_at_a_time():
    data, config = toy_data(), toy_config(max_epochs=2)
    trainer = start(config, data, key=1)
    assert not trainer.admit(Run(key=2, config=config, data=data))
    assert isinstance(drive(trainer)[-1], Finished)
    assert trainer.admit(Run(key=2, config=config, data=data))
    assert {event.key for event in drive(trainer)} == {2}


def test_an_evicted_run_makes_room_and_no_other_key_does():
    data, config = toy_data(), toy_config()
    trainer = start(config, data, key=1)
    trainer.advance(0.0)
    trainer.evict(2)
    assert not trainer.admit(Run(key=2, config=config, data=data))
    trainer.evict(1)
    assert trainer.advance(1.0) == []
    assert trainer.admit(Run(key=2, config=config, data=data))
    assert same(drive(trainer)[-1].result, train(config, data, CPU))


@pytest.mark.parametrize("device", DEVICES)
def test_running_out_of_memory_fails_that_run_alone(device):
    data = toy_data()
    trainer = start(toy_config(model={"width": 2**50}), data, device, key=1)
    (failed,) = trainer.advance(1.0)
    assert isinstance(failed, Failed)
    assert failed.key == 1
    assert failed.reason.startswith("out of memory")
    assert trainer.admit(Run(key=2, config=toy_config(), data=data))
    assert isinstance(drive(trainer)[-1], Finished)
    with pytest.raises(MemoryError, match="out of memory"):
        train(toy_config(model={"width": 2**50}), data, device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_that_filled_the_gpu_gives_its_memory_back():
    before = torch.cuda.memory_allocated()
    _, total = torch.cuda.mem_get_info()
    width = 2 ** math.floor(math.log2((total / 8) ** 0.5))
    config = toy_config(model={"depth": 8, "width": width}, precision="bfloat16")
    (failed,) = drive(start(config, toy_data(), torch.device("cuda", 0)))
    assert isinstance(failed, Failed)
    assert torch.cuda.memory_allocated() == before


def test_other_errors_are_not_taken_for_lack_of_memory():
    data = replace(toy_data(), y_train=torch.zeros(3))
    with pytest.raises((RuntimeError, IndexError)):
        drive(start(toy_config(), data))


def test_progress_comes_before_the_end():
    events = start(toy_config(max_epochs=2), toy_data()).advance(math.inf)
    assert [type(event) for event in events] == [Progress, Finished]
