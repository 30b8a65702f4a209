"""The slots of this machine: which worker gets which device, and sees nothing else.

With GPUs, `per_gpu` workers share each, and `CUDA_VISIBLE_DEVICES` shows a worker its own alone,
chosen among those the environment had already narrowed to. Without, one process a core with one
thread each: two processes that both use PyTorch's default of a thread per core slow each other
down.
"""

import os
from collections.abc import Mapping, Sequence

from hpo.config.errors import InputError
from hpo.worker.supervisor import Slot

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
REPEATABLE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Without it cuBLAS may choose another order of summation from one run to the next."""
MAX_SLOTS = 1024
"""Trials that a worker may train at once."""


def plan_slots(
    *,
    gpus: str,
    per_gpu: int,
    workers: str,
    visible: Sequence[str],
    n_cores: int,
) -> list[Slot]:
    """Decide where this machine's workers run.

    Args:
        gpus: `auto` (all that are visible), `none`, or positions among the visible, as `0,2`.
        per_gpu: workers on each GPU.
        workers: `auto` (one a GPU slot, or one a core), or how many.
        visible: CUDA's names of the GPUs this process may use, in order.
        n_cores: processor cores this process may use.

    Raises:
        InputError: a GPU that is not there, or more workers than the GPUs have slots.
    """
    if per_gpu < 1:
        raise InputError(f"--per-gpu must be at least 1, but got {per_gpu}")
    chosen = _choose(gpus, visible)
    slots = [_gpu_slot(name, 1 / per_gpu) for _ in range(per_gpu) for name in chosen]
    if not slots:
        count = n_cores if workers == "auto" else _count(workers)
        return [Slot(device="cpu", environment={"CUDA_VISIBLE_DEVICES": "", **ONE_THREAD})] * count
    if workers == "auto":
        return slots
    if (count := _count(workers)) > len(slots):
        raise InputError(
            f"--workers must be at most {len(slots)} for {len(chosen)} GPU(s) with {per_gpu} "
            f"worker(s) each, but got {count}: raise --per-gpu, or pass --gpus none"
        )
    return slots[:count]


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """CUDA's names of the GPUs that this process may use; indices where nothing narrows them."""
    import torch  # a machine's GPUs are counted only where workers are started

    # torch counts those of a driver that is too old for it, too
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (narrowed := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in narrowed.split(",") if name.strip()][:n_gpus]
    return [str(index) for index in range(n_gpus)]


def local_slots(*, gpus: str, per_gpu: int, workers: str) -> list[Slot]:
    """Plan the slots of the machine this runs on.

    Raises:
        InputError: as `plan_slots`.
    """
    return plan_slots(
        gpus=gpus,
        per_gpu=per_gpu,
        workers=workers,
        visible=[] if gpus == "none" else visible_gpus(os.environ),
        n_cores=len(os.sched_getaffinity(0)),
    )


def slots_argument(slots: str) -> list[str]:
    """What a worker process is told of the trials that it trains at once.

    Raises:
        InputError: it is neither `auto` nor a number of trials.
    """
    if slots != "auto" and not (slots.isdecimal() and 1 <= int(slots) <= MAX_SLOTS):
        raise InputError(f"--slots must be auto or a number from 1 to {MAX_SLOTS}, but got {slots}")
    return ["--slots", slots]


def _choose(gpus: str, visible: Sequence[str]) -> list[str]:
    if gpus == "none":
        return []
    if gpus == "auto":
        return list(visible)
    chosen = []
    for text in gpus.split(","):
        position = int(text) if text.strip().isdecimal() else -1
        if not 0 <= position < len(visible):
            raise InputError(
                f"--gpus must be auto, none or positions among the {len(visible)} visible GPU(s) "
                f"separated by commas, but got {gpus}"
            )
        chosen.append(visible[position])
    return list(dict.fromkeys(chosen))


def _count(workers: str) -> int:
    if not workers.isdecimal() or int(workers) < 1:
        raise InputError(f"--workers must be auto or a number from 1, but got {workers}")
    return int(workers)


def _gpu_slot(name: str, share: float) -> Slot:
    environment = {"CUDA_VISIBLE_DEVICES": name, **ONE_THREAD, **REPEATABLE}
    return Slot(device="cuda", environment=environment, share=share)
