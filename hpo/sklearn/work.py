"""Where the search of a fit is carried out: in this process, or by worker processes."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hpo.config.errors import InputError
from hpo.files.store import ArtifactStore
from hpo.launch.in_process import search_in_process
from hpo.launch.local import local_slots
from hpo.launch.search import search_locally
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
    if place.slots:
        search_locally(study, store, place.slots, on_line=log.info)
    else:
        search_in_process(study, store, place.device)
