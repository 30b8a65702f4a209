"""Where the search of a fit is carried out: in this process, or by worker processes."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hpo.config.errors import HpoError, InputError
from hpo.files.store import ArtifactStore
from hpo.launch.in_process import search_inside
from hpo.launch.local import local_slots
from hpo.launch.search import local_crew, search
from hpo.launch.single import choose_device
from hpo.study.study import Study
from hpo.worker.supervisor import Slot

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A device, and the slots of worker processes; without slots the search stays in this one."""

    device: torch.device
    slots: Sequence[Slot] = ()


def plan(workers: Any, device: str) -> Workplace:
    """Decide where to work.

    Args:
        workers: how many; one needs no process of its own.
        device: as `choose_device` takes it.

    Raises:
        InputError: there is no such device, or no such number of workers.
    """
    if not isinstance(workers, int | np.integer) or workers < 1:
        raise InputError(f"workers must be a number from 1, but got {workers!r}")
    chosen = choose_device(device)
    if workers == 1:
        return Workplace(device=chosen)
    gpus, n_gpus = "none", 1
    if chosen.type == "cuda" and device == "cuda:" + str(chosen.index):
        gpus = str(chosen.index)
    elif chosen.type == "cuda":
        gpus, n_gpus = "auto", torch.cuda.device_count()
    per_gpu = math.ceil(int(workers) / n_gpus)
    return Workplace(
        device=chosen, slots=local_slots(gpus=gpus, per_gpu=per_gpu, workers=str(workers))
    )


def carry_out(study: Study, store: ArtifactStore, place: Workplace) -> None:
    """Work for a study until it is finished.

    Raises:
        InputError: the storage has no connections for so many workers.
        HpoError: the workers failed.
    """
    if not place.slots:
        search_inside(study, store, place.device)
        return
    study.storage.check_room(len(place.slots))
    crew = local_crew(study, store, place.slots, [], log.info)
    if code := search(study, store, crew, lambda status: None):
        raise HpoError(f"the workers of study {study.name} ended with code {code}")
