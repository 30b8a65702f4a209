"""Slots on this machine, with fake GPUs."""

import os
from typing import Any

import pytest
import torch

from hpo.config.errors import InputError
from hpo.launch import local
from hpo.launch.local import local_slots, visible_gpus
from hpo.worker.supervisor import Slot


def plan(visible: tuple[str, ...] = ("0", "1"), **options: Any) -> list[Slot]:
    """Plan the slots of a machine with these GPUs and three cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "visible_gpus", lambda: list(visible))
        patch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2})
        return local_slots(**{"gpus": "auto", "per_gpu": 1, "workers": "auto", **options})


def devices(**options: Any) -> list[str]:
    """Return CUDA_VISIBLE_DEVICES of each planned worker."""
    return [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in plan(**options)]


def test_each_gpu_gets_one_worker_that_sees_it_alone() -> None:
    assert devices() == ["0", "1"]


def test_workers_share_gpus_in_turn() -> None:
    assert devices(per_gpu=2) == ["0", "1", "0", "1"]
    assert devices(per_gpu=2, workers="3") == ["0", "1", "0"]


def test_positions_count_among_the_gpus_the_environment_left() -> None:
    assert devices(gpus="1", visible=("GPU-8f2a", "5")) == ["5"]
    assert devices(gpus="1,0,1", visible=("4", "7")) == ["7", "4"]


@pytest.mark.parametrize("gpus", ["none", "auto"])
def test_without_a_gpu_each_core_gets_a_worker_with_one_thread(gpus: str) -> None:
    slots = plan(gpus=gpus, visible=())
    assert [slot.device for slot in slots] == ["cpu"] * 3
    assert {slot.environment["OMP_NUM_THREADS"] for slot in slots} == {"1"}
    assert {slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots} == {""}


def test_a_number_of_workers_is_kept_to_on_the_processor() -> None:
    assert devices(gpus="none", workers="7") == [""] * 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gpus": "2"}, "positions among the 2 visible"),
        ({"gpus": "first"}, "--gpus must be auto, none or positions"),
        ({"gpus": "-1"}, "but got -1"),
        ({"workers": "3"}, "--workers must be at most 2"),
        ({"workers": "0"}, "--workers must be auto or a number from 1"),
        ({"workers": "many"}, "but got many"),
        ({"per_gpu": 0}, "--per-gpu must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        devices(**changes)


def test_an_environment_that_hides_gpus_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for names, visible in (("", []), (" GPU-8f2a,", ["GPU-8f2a"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
        assert visible_gpus() == visible


def test_gpus_that_torch_cannot_use_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert visible_gpus() == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_this_machines_gpus_are_found() -> None:
    slots = local_slots(gpus="auto", per_gpu=1, workers="auto")
    assert len(slots) == torch.cuda.device_count()
    assert {slot.device for slot in slots} == {"cuda"}
