import pytest
import torch

from hpo.training import sizing
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.single import SingleTrainer
from tests.support.training import toy_config, toy_data

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ({1: 100, 4: 90}, 1),
        ({1: 100, 4: 110}, 1),  # not worth it
        ({1: 100, 4: 300, 16: 310}, 4),
        ({1: 100, 4: 300, 16: 900, 64: 0}, 16),  # no memory
        ({1: 0, 4: 0}, 1),
        ({1: 100, 4: 300, 16: 900, 64: 2000, 256: 5000}, 256),
    ],
)
def test_packs_grow_while_it_pays(monkeypatch, speeds, expected):
    monkeypatch.setattr(sizing, "speed", lambda trainer, configs, data: speeds[len(configs)])
    assert sizing.best_slots(toy_config(), toy_data(), CPU) == expected


@pytest.mark.parametrize("trainer", [SingleTrainer(CPU), PackedTrainer(CPU, 3)])
def test_speed_is_counted_in_updates_of_all_runs(trainer):
    configs = [toy_config(seed=seed) for seed in range(3)]
    few = configs[:1] if isinstance(trainer, SingleTrainer) else configs
    assert 10 < sizing.speed(trainer, few, toy_data(), seconds=0.1) < 1e6


def test_what_does_not_fit_has_no_speed():
    huge = toy_config(model={"width": 2**50})
    assert sizing.speed(PackedTrainer(CPU, 2), [toy_config(), huge], toy_data(), seconds=0.05) == 0
