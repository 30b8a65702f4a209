"""Where the search of a `fit` runs: in this process, or in worker processes."""

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from hpo.config.errors import InputError
from hpo.launch.in_process import search_in_process
from hpo.launch.local import local_slots
from hpo.launch.search import search_locally
from hpo.launch.single import choose_device
from hpo.lifecycle.creation import CreatedStudy

log = logging.getLogger(__name__)


def plan_search(workers: Any, device: str) -> Callable[[CreatedStudy], None]:
    """Plan where to train, and return the function that searches a study there.

    Args:
        workers: number of workers; a single one runs in this process.
        device: as `choose_device` takes it.

    Raises:
        InputError: the device does not exist, or `workers` is not a positive integer.
    """
    if not isinstance(workers, int | np.integer) or workers < 1:
        raise InputError(f"workers must be a number from 1, but got {workers!r}")
    chosen = choose_device(device)
    if workers == 1:
        return partial(search_in_process, device=chosen)
    gpus, n_gpus = "none", 1
    if chosen.type == "cuda" and device == f"cuda:{chosen.index}":
        gpus = str(chosen.index)
    elif chosen.type == "cuda":
        gpus, n_gpus = "auto", torch.cuda.device_count()
    per_gpu = math.ceil(int(workers) / n_gpus)
    slots = local_slots(gpus=gpus, per_gpu=per_gpu, workers=str(workers))
    return partial(search_locally, slots=slots, on_line=log.info)
