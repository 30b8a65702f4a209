"""Refits: all their epochs at the rates of the planned ones, the last one kept."""

from dataclasses import replace

import pytest
import torch

from hpo.config.trial import RefitConfig, TrialConfig
from hpo.training.checkpoint import VALUES
from hpo.training.families.family import flatten, trained_network
from hpo.training.record import Result
from hpo.training.single import train
from tests.support.packs import single
from tests.support.training import toy_config, toy_data

CPU = torch.device("cpu")
DATA = toy_data()
N_BATCHES = DATA.n_batches(64)
N_EPOCHS, N_PLANNED = 6, 9
PLAN = {"max_epochs": N_PLANNED, "schedule": "cosine", "warmup_steps": 3}


def refitted(config: TrialConfig, n_epochs: int = N_EPOCHS) -> Result:
    return train(replace(config, refit=RefitConfig(n_epochs=n_epochs)), DATA, CPU)


def values_of(config: TrialConfig, result: Result) -> torch.Tensor:
    network = trained_network(config.model, DATA.inputs, DATA.n_outputs, result.weights)
    return flatten(config.model, network).values


def test_the_rates_are_those_of_the_planned_epochs() -> None:
    config = toy_config(**PLAN)
    found = values_of(config, refitted(config))
    whole = single(config, DATA, CPU, N_EPOCHS * N_BATCHES)  # a run that goes on to the end
    assert torch.equal(found, whole.tensors[VALUES])
    shorter = toy_config(**{**PLAN, "max_epochs": N_EPOCHS})
    assert not torch.equal(found, values_of(shorter, refitted(shorter)))


def test_the_last_epoch_is_kept_however_it_is_measured() -> None:
    rough = {"name": "sgd", "learning_rate": 1.0}
    config = toy_config(optimizer=rough, patience=1, max_epochs=N_PLANNED)
    assert train(config, DATA, CPU).n_epochs < N_EPOCHS
    endless = replace(config, training=replace(config.training, patience=N_PLANNED))
    at_the_end = single(endless, DATA, CPU, N_EPOCHS * N_BATCHES)
    curve = [measured.value for measured in at_the_end.measurements]
    assert min(curve) < curve[-1]
    result = refitted(config)
    assert (result.n_epochs, result.best_step) == (N_EPOCHS, N_EPOCHS)
    assert torch.equal(values_of(config, result), at_the_end.tensors[VALUES])


def test_it_may_use_all_planned_epochs_and_diverge() -> None:
    config = toy_config(max_epochs=3)
    assert refitted(config, 3).n_epochs == 3
    wild = toy_config(optimizer={"name": "sgd", "learning_rate": 100.0}, gradient_clip=0.0)
    result = refitted(wild, 5)
    assert (result.status, result.weights) == ("diverged", {})


@pytest.mark.parametrize("n_steps", [7, 2 * N_BATCHES])
def test_it_resumes_from_a_checkpoint(n_steps: int) -> None:
    config = replace(toy_config(**PLAN), refit=RefitConfig(n_epochs=N_EPOCHS))
    middle = single(config, DATA, CPU, n_steps)
    last = single(config, DATA, CPU, N_EPOCHS * N_BATCHES - 1, start=middle)
    alone = single(config, DATA, CPU, N_EPOCHS * N_BATCHES - 1)
    assert torch.equal(last.tensors[VALUES], alone.tensors[VALUES])
