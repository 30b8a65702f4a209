"""Measures how many runs to train at once on a device."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from hpo.config.trial import TrialConfig
from hpo.training.batches import RunData
from hpo.training.memory import free_memory
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.single import SingleTrainer
from hpo.training.trainer import Finished, Progress, Run, Trainer

SIZES = (4, 16, 64, 256)
MIN_GAIN = 1.15
"""Factor of updates per second that makes a larger pack worth its memory."""
SECONDS = 0.5


def best_slots(config: TrialConfig, data: RunData, device: torch.device) -> int:
    """The size of pack beyond which a device gains little, or runs out of memory.

    Args:
        config: of a typical trial.
        data: of the study.
        device: to train on.

    Returns:
        Number of runs; 1 if the engine of one run is as fast, as on most CPUs.
    """
    best, best_speed = 1, speed(SingleTrainer(device), [config], data)
    for n_runs in SIZES:
        trainer = PackedTrainer(device, n_runs)
        found = speed(trainer, [config] * n_runs, data)
        if found <= MIN_GAIN * best_speed or not _is_refilled(trainer, config, data):
            break
        best, best_speed = n_runs, found
    del trainer
    free_memory(device)
    return best


def _is_refilled(trainer: Trainer, config: TrialConfig, data: RunData) -> bool:
    """Whether a run can be replaced: the old pack stays in memory while the new one is built.

    Otherwise a worker could not place new runs until the pack has shrunk.
    """
    trainer.evict(0)
    trainer.admit(Run(key=0, config=config, data=data))
    return all(isinstance(event, Progress | Finished) for event in trainer.advance(0.0))


def speed(
    trainer: Trainer,
    configs: Sequence[TrialConfig],
    data: RunData,
    seconds: float = SECONDS,
) -> float:
    """Updates per second of all runs together; 0 if memory runs out.

    The trainer's work before its first step is not measured.
    """
    for key, config in enumerate(configs):
        endless = replace(config.training, max_epochs=100_000, patience=100_000)
        trainer.admit(Run(key=key, config=replace(config, training=endless), data=data))
    events = trainer.advance(0.0)
    before, start = _n_steps(trainer), time.perf_counter()
    while time.perf_counter() < start + seconds:
        events += trainer.advance(start + seconds - time.perf_counter())
    seconds = time.perf_counter() - start
    is_whole = all(isinstance(event, Progress) for event in events)
    return len(configs) * (_n_steps(trainer) - before) / seconds if is_whole else 0.0


def _n_steps(trainer: Trainer) -> int:
    """Updates of the first run; all runs make equally many."""
    checkpoint = trainer.checkpoint(0)
    return checkpoint.n_steps if checkpoint else 0
