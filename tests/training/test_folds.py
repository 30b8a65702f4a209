"""Runs with folds: networks of their own, one history over all out-of-fold predictions."""

import math
from dataclasses import replace

import pytest
import torch

from hpo.config.trial import ObjectiveConfig
from hpo.training.batches import FoldedData
from hpo.training.calibration import calibrate
from hpo.training.checkpoint import VALUES
from hpo.training.families.family import trained_network
from hpo.training.metrics import evaluate
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Failed, Run
from tests.support.packs import KEY, alone, finish, single
from tests.support.training import ANY, OBJECTIVES, toy_config, toy_data, toy_folds

CPU = torch.device("cpu")
N_BATCHES = 3 + 4 + 4
"""Of an epoch over all folds; folds are unequal."""


def test_each_fold_trains_as_a_run_of_its_own() -> None:
    config, data = toy_config(model={"dropout": 0.2}, schedule="cosine"), toy_folds()
    found = single(config, data, CPU, 2 * N_BATCHES)
    for index, fold in enumerate(data.folds):
        own = single(config, fold, CPU, 2 * fold.n_batches(64))
        assert torch.equal(found.tensors[f"fold.{index}.{VALUES}"], own.tensors[VALUES])


@pytest.mark.parametrize("task", OBJECTIVES)
def test_an_epoch_counts_by_the_predictions_of_all_folds(task) -> None:
    config, data = toy_config(task, max_epochs=4), toy_folds(task)
    endings = alone(config, data, CPU)
    result, curve = endings.results[KEY], endings.measurements[KEY]
    assert [measured.step for measured in curve] == [1, 2, 3, 4]
    assert (result.n_epochs, result.n_steps) == (4, 4 * N_BATCHES)
    outputs = []
    for fold, made in zip(data.folds, result.folds, strict=True):
        network = trained_network(config.model, fold.inputs, fold.n_outputs, made.weights)
        with torch.no_grad():
            logits = network(fold.x_val)
        if task == "regression":
            logits = fold.scale().values(logits)
        outputs.append(logits)
        own = evaluate(ANY, task, fold.n_classes, logits, fold.y_val)
        assert made.metrics == pytest.approx(own)
    y = toy_data(task).y_train  # the folds' validation parts are all of these rows, in order
    whole = evaluate(ANY, task, data.folds[0].n_classes, torch.cat(outputs), y)
    assert result.metrics == pytest.approx(whole)
    assert result.metrics[OBJECTIVES[task]] == pytest.approx(result.best_value, rel=1e-5)
    assert curve[result.best_step - 1].value == result.best_value


def test_folds_are_calibrated_together() -> None:
    config = replace(
        toy_config("binary", optimizer={"learning_rate": 0.03}),
        objective=ObjectiveConfig(metric="accuracy", calibrate="temperature", threshold="tuned"),
    )
    data = toy_folds("binary")
    result = alone(config, data, CPU).results[KEY]
    outputs = []
    for fold, made in zip(data.folds, result.folds, strict=True):
        network = trained_network(config.model, fold.inputs, fold.n_outputs, made.weights)
        with torch.no_grad():
            outputs.append(network(fold.x_val) / result.calibration.temperature)
        threshold = result.calibration.threshold
        own = evaluate(ANY, "binary", 2, outputs[-1], fold.y_val, threshold=threshold)
        assert made.metrics == pytest.approx(own)
    y = toy_data("binary").y_train
    expected = calibrate(config.objective, "binary", torch.cat(outputs), y)
    assert expected.temperature == pytest.approx(1)
    assert expected.threshold == pytest.approx(result.calibration.threshold)
    assert result.metrics["accuracy"] == pytest.approx(result.best_value)


def test_an_early_end_is_that_of_the_last_epoch_of_all_folds() -> None:
    config, data = toy_config(), toy_folds()
    trainer = SingleTrainer(CPU)
    trainer.admit(Run(key=KEY, config=config, data=data))
    while (state := trainer.checkpoint(KEY)) is None or state.n_steps < N_BATCHES + 5:
        trainer.advance(0.0)
    result = trainer.finish(KEY)
    first = replace(config, training=replace(config.training, max_epochs=1))
    expected = alone(first, data, CPU).results[KEY]
    assert (result.best_step, result.n_epochs, result.metrics) == (1, 1, expected.metrics)


def test_a_fold_that_diverges_ends_the_run() -> None:
    first, *others = toy_folds("multiclass").folds  # whose metric would hide it
    x = first.x_train.clone()
    x[3, 2] = math.nan
    data = FoldedData(folds=(*others, replace(first, x_train=x)))
    result = alone(toy_config("multiclass"), data, CPU).results[KEY]
    assert (result.status, result.folds, result.metrics) == ("diverged", (), {})


def test_a_checkpoint_without_folds_is_of_another_run() -> None:
    config, data = toy_config(), toy_folds()
    run = Run(key=KEY, config=config, data=data)
    with pytest.raises(ValueError, match="its tensors must be"):
        SingleTrainer(CPU).admit(run, single(config, data.folds[0], CPU, 1))
    late = replace(single(config, data, CPU, 2), n_steps=N_BATCHES + 1)
    with pytest.raises(ValueError, match=f"its step must be {N_BATCHES}, but got"):
        SingleTrainer(CPU).admit(run, late)


def test_a_trainer_of_packs_trains_them_in_turn() -> None:
    config, data = toy_config(max_epochs=2), toy_folds()
    trainer = PackedTrainer(CPU, 2)
    runs = [
        Run(key=KEY, config=config, data=data),
        Run(key=KEY + 1, config=config, data=toy_data()),
    ]
    found = finish(trainer, runs).results
    expected = alone(config, data, CPU).results[KEY]
    assert found[KEY].metrics == expected.metrics
    assert len(found[KEY + 1].folds) == 1


def test_a_run_with_folds_that_finds_no_memory_fails_alone() -> None:
    trainer = SingleTrainer(CPU, 2)
    trainer.admit(Run(key=1, config=toy_config(model={"width": 2**50}), data=toy_folds()))
    (failed,) = trainer.advance(1.0)
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("out of memory")
    assert trainer.n_runs == 0
