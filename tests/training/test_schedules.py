"""Schedules, betas and label smoothing: both engines against autograd and torch.optim."""

from typing import get_args

import pytest
import torch

from hpo.config.trial import OptimizerName, ScheduleName, Task, TrainingConfig, TrialConfig
from hpo.training.checkpoint import VALUES
from hpo.training.families.family import flatten
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.schedules import Schedule, rate_factors
from hpo.training.single import SingleTrainer, train
from hpo.training.trainer import Run
from tests.support.packs import assert_near, checkpoint_after, single, started, together
from tests.support.training import DEVICES, toy_config, toy_data
from tests.training.test_single import by_torch, rate_factor

CPU = torch.device("cpu")
N_BATCHES = 5
N_EPOCHS = 4


@pytest.mark.parametrize("warmup_steps", [0, 1, 7, 500])
@pytest.mark.parametrize("schedule", get_args(ScheduleName))
def test_factors_are_those_of_the_formulas(schedule, warmup_steps):
    config = TrainingConfig(schedule=schedule, warmup_steps=warmup_steps, max_epochs=13)
    steps = torch.arange(13 * N_BATCHES)
    found = rate_factors(Schedule.of(config, N_BATCHES), steps).tolist()
    expected = [rate_factor(config, N_BATCHES, step) for step in steps.tolist()]
    assert found == pytest.approx(expected, abs=1e-14)


def test_a_constant_rate_is_not_changed_by_a_bit():
    schedule = Schedule.of(TrainingConfig(), N_BATCHES)
    assert set(rate_factors(schedule, torch.arange(1000)).tolist()) == {1.0}


def plans(task: Task = "regression", **training: object) -> list[TrialConfig]:
    """Runs of one pack that differ in optimizer, betas, schedule, warm-up and smoothing."""
    names, smoothing = get_args(OptimizerName), (0.0 if task == "regression" else 0.1)
    return [
        toy_config(
            task,
            optimizer={
                "name": names[(n + n // 4) % 4],
                "learning_rate": 1e-3,
                "weight_decay": 0.1,
                "l1": 1e-3,
                "beta1": (0.9, 0.5)[n % 2],
                "beta2": (0.95, 0.999)[n // 2 % 2],
            },
            model={"depth": 1 + n % 2},
            precision="float64",
            max_epochs=N_EPOCHS + n % 3,
            schedule=schedule,
            warmup_steps=(0, 3, 12)[n % 3],
            label_smoothing=smoothing * (n % 3),
            seed=n,
            **training,
        )
        for n, schedule in enumerate(4 * get_args(ScheduleName))
    ]


def values_of(network: torch.nn.Module, config: TrialConfig) -> torch.Tensor:
    return flatten(config.model, network).values


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_updates_are_those_of_torch(task):
    data, n_epochs = toy_data(task), N_EPOCHS - 1
    configs = plans(task, patience=50)
    trainer = PackedTrainer(CPU, len(configs))
    for key, config in enumerate(configs):
        assert trainer.admit(Run(key=key, config=config, data=data))
    while trainer.checkpoint(0) is None or trainer.checkpoint(0).n_steps < n_epochs * N_BATCHES:
        trainer.advance(0.0)
    for key, config in enumerate(configs):
        packed = trainer.checkpoint(key)
        assert packed.n_steps == n_epochs * N_BATCHES
        expected = values_of(by_torch(config, data, n_epochs), config)
        alone = single(config, data, CPU, packed.n_steps)
        assert_near(alone.tensors[VALUES], expected, 1e-9)
        assert_near(packed.tensors[VALUES], expected, 1e-9)


def test_runs_that_differ_in_schedule_and_smoothing_share_a_pack():
    trainer, data = PackedTrainer(CPU, 16), toy_data("multiclass")
    for key, config in enumerate(plans("multiclass")):
        assert trainer.admit(Run(key=key, config=config, data=data))
    trainer.advance(0.0)
    sizes = [int(line.split()[0]) for line in trainer.describe()]
    assert sorted(sizes) == [16]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n_steps", [1, 8, 10])
@pytest.mark.parametrize("schedule", get_args(ScheduleName))
def test_a_run_resumes_in_the_middle_of_a_schedule(schedule, n_steps, device):
    config = toy_config(
        "multiclass",
        schedule=schedule,
        warmup_steps=9,
        label_smoothing=0.1,
        precision="float64",
        model={"dropout": 0.1},
    )
    data, last = toy_data("multiclass"), 17
    whole = single(config, data, device, last)
    middle = single(config, data, device, n_steps)
    resumed = single(config, data, device, last, middle)
    assert torch.equal(resumed.tensors[VALUES], whole.tensors[VALUES])
    for engine in (PackedTrainer(device, 2), SingleTrainer(device)):
        other = checkpoint_after(started(PackedTrainer(device, 1), config, data), n_steps)
        moved = checkpoint_after(started(engine, config, data, other), last)
        assert_near(moved.tensors[VALUES], whole.tensors[VALUES], 1e-9)


@pytest.mark.parametrize(("schedule", "patience"), [("constant", 16), ("cosine", None)])
def test_a_schedule_turns_the_default_patience_off(schedule, patience):
    assert TrainingConfig(schedule=schedule).patience == patience
    assert TrainingConfig(schedule=schedule, patience=3).patience == 3


def test_without_patience_all_planned_epochs_are_trained():
    still = {"learning_rate": 1e-30}
    data, common = toy_data(), {"optimizer": still, "max_epochs": 30, "precision": "float64"}
    configs = [
        toy_config(schedule="cosine", **common),
        toy_config(schedule="cosine", patience=2, **common),
        toy_config(**common),
    ]
    endings = together(configs, data, CPU)
    n_epochs = [endings.results[key].n_epochs for key in range(3)]
    assert n_epochs == [train(config, data, CPU).n_epochs for config in configs]
    assert n_epochs == [30, 3, 17]
