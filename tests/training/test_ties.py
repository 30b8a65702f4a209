"""Epochs that are level by the metric: the loss tells which of them is better."""

import math
from dataclasses import replace

import pytest
import torch

from hpo.config.metrics import MetricName
from hpo.config.trial import TrialConfig
from hpo.training.batches import TrainingData
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.record import Record
from hpo.training.single import SingleTrainer, train
from hpo.training.trainer import Run
from tests.support.packs import KEY, alone, checkpoint_after, finish, started, together
from tests.support.paths import EARLIER_VERSIONS
from tests.support.training import DEVICES, rare_data, toy_config, toy_data

CPU = torch.device("cpu")


def rare_config(metric: MetricName, **training: object) -> TrialConfig:
    return toy_config(
        "binary",
        metric=metric,
        model={"width": 32},
        **{"max_epochs": 40, "patience": 4, "batch_size": 256, **training},
    )


def noted(metric: MetricName, *epochs: tuple[float, float], patience: int = 2) -> Record:
    """The record of a run that measured these metrics and losses."""
    task = "regression" if metric == "rmse" else "binary"
    config = toy_config(task, metric=metric, patience=patience, max_epochs=99)
    record = Record.of(config, None, CPU)
    for value, loss in epochs:
        assert not record.is_over
        record.add_epoch(value, loss, is_finite=True)
    return record


@pytest.mark.parametrize(
    ("metric", "epochs", "best"),
    [
        ("f1", [(0.0, 0.7), (0.0, 0.6), (0.0, 0.65)], 2),
        ("f1", [(0.0, 0.7), (0.0, 0.7)], 1),
        ("f1", [(0.5, 0.7), (0.4, 0.1)], 1),
        ("f1", [(0.4, 0.1), (0.5, 0.7), (0.5, 0.6)], 3),
        ("f1", [(0.0, math.inf), (0.0, 0.7)], 2),
        ("f1", [(0.0, 0.7), (0.0, math.nan)], 1),
        ("f1", [(0.0, math.nan), (0.0, 0.7), (0.0, 0.8)], 2),
        ("log_loss", [(0.7, 0.7), (0.6, 0.6), (0.6, 0.6)], 2),
        ("rmse", [(3.0, 3.0), (4.0, 4.0)], 1),
    ],
)
def test_an_epoch_is_better_by_its_metric_or_level_with_a_lower_loss(metric, epochs, best):
    record = noted(metric, *epochs)
    assert record.best.step == best
    assert record.best_loss == epochs[best - 1][1]


def test_patience_counts_epochs_since_the_best_by_this_order():
    level = [(0.0, 0.7 - 0.01 * n) for n in range(20)]
    assert not noted("f1", *level).is_over
    assert noted("f1", *level, (0.0, 0.6), (0.0, 0.6)).is_over


@pytest.mark.parametrize("device", DEVICES)
def test_a_rare_class_is_learnt_by_a_metric_that_stays_level(device):
    data = rare_data()
    results = {name: train(rare_config(name), data, device) for name in ("f1", "log_loss")}
    assert results["f1"].best_value == 0.0
    assert results["f1"].best_step > 20
    areas = {name: result.metrics["roc_auc"] for name, result in results.items()}
    assert areas["log_loss"] > 0.75
    assert areas["f1"] == pytest.approx(areas["log_loss"], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("data", [rare_data(), toy_data("binary", n_rows=90)], ids=["rare", "toy"])
@pytest.mark.parametrize("metric", ["f1", "accuracy"])
def test_a_pack_breaks_ties_as_one_run_alone_does(metric, data, device):
    configs = [
        rare_config(metric, seed=seed, precision="float64", patience=patience)
        for seed, patience in ((0, 2), (1, 3), (2, 1))
    ]
    endings = together(configs, data, device)
    for key, config in enumerate(configs):
        lone, packed = alone(config, data, device).results[KEY], endings.results[key]
        for name in ("best_step", "n_epochs", "n_steps", "best_value"):
            assert getattr(packed, name) == getattr(lone, name), name
        assert packed.metrics == pytest.approx(lone.metrics, rel=1e-5)


@pytest.mark.parametrize("second", [SingleTrainer, lambda device: PackedTrainer(device, 2)])
@pytest.mark.parametrize("first", [SingleTrainer, lambda device: PackedTrainer(device, 2)])
def test_the_loss_of_the_best_epoch_survives_a_checkpoint(first, second):
    """The best epoch is the third, by its loss; the fourth must not be taken for better."""
    data, config = rare_data(), rare_config("f1", max_epochs=4, precision="float64")
    found = checkpoint_after(started(first(CPU), config, data), 3 * 12 + 1)
    assert (found.best.step, found.best.value) == (3, 0.0)
    assert 0 < found.best_loss < 0.7
    better = replace(found, best_loss=0.01)
    for start, best in ((found, 4), (better, 3)):
        trainer = started(second(CPU), config, data, start)
        _, finished = trainer.advance(math.inf)
        assert finished.result.best_step == best


@pytest.mark.parametrize("trainer", [SingleTrainer, lambda device: PackedTrainer(device, 2)])
def test_an_unknown_loss_gives_way_to_a_known_one(trainer):
    data, config = rare_data(), rare_config("f1", max_epochs=4)
    found = checkpoint_after(started(trainer(CPU), config, data), 3 * 12)
    resumed = started(trainer(CPU), config, data, replace(found, best_loss=math.nan))
    *_, finished = resumed.advance(math.inf)
    assert finished.result.best_step == 4
    assert finished.result.metrics == pytest.approx(train(config, data, CPU).metrics, rel=1e-3)


def test_a_run_goes_on_from_a_file_of_the_first_format():
    files = pytest.importorskip("hpo.worker.checkpoints")  # wants more than torch
    content = (EARLIER_VERSIONS / "checkpoints/format_1.safetensors").read_bytes()
    start = files.from_bytes(content, "format_1")
    config, data = toy_config("multiclass"), toy_data("multiclass")
    endings = finish_from(start, config, data)
    assert [m.step for m in endings.measurements[KEY]] == [3, 4, 5]
    assert endings.results[KEY].best_step >= 2
    assert endings.results[KEY].n_epochs == 5


def finish_from(start, config: TrialConfig, data: TrainingData):
    class Resuming(SingleTrainer):
        def admit(self, run, checkpoint=None):
            return super().admit(run, start)

    return finish(Resuming(CPU), [Run(key=KEY, config=config, data=data)])
