"""Slots for workers on this machine, and the devices that each worker sees.

With GPUs, `per_gpu` workers share each GPU, and `CUDA_VISIBLE_DEVICES` shows a worker its own GPU
only, one of those that this process may use. Without GPUs, each core runs one worker with one
thread: two processes with PyTorch's default of a thread per core slow each other down.
"""

import os

from hpo.config.errors import InputError
from hpo.worker.supervisor import Slot

REPRODUCIBLE = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Fixes the order of summation in cuBLAS, which otherwise may differ between runs."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_MAX_SLOTS = 1024
"""Maximum number of trials that a worker may train at once."""


def local_slots(*, gpus: str, per_gpu: int, workers: str) -> list[Slot]:
    """Plan the slots of this machine from the GPUs and cores that this process may use.

    Args:
        gpus: `auto` (all visible GPUs), `none`, or positions among the visible GPUs (`0,2`).
        per_gpu: number of workers on each GPU.
        workers: number of workers, or `auto` for one per GPU slot or else one per core.

    Raises:
        InputError: a GPU does not exist, or there are more workers than GPU slots.
    """
    if per_gpu < 1:
        raise InputError(f"--per-gpu must be at least 1, but got {per_gpu}")
    chosen, n_workers = _choose(gpus), parse_n_workers(workers)
    slots = [_gpu_slot(name, 1 / per_gpu) for _ in range(per_gpu) for name in chosen]
    if not slots:
        environment = {"CUDA_VISIBLE_DEVICES": "", **_ONE_THREAD}
        n_cores = len(os.sched_getaffinity(0))
        return [Slot(device="cpu", environment=environment)] * (n_workers or n_cores)
    if n_workers is not None and n_workers > len(slots):
        raise InputError(
            f"--workers must be at most {len(slots)} for {len(chosen)} GPU(s) with {per_gpu} "
            f"worker(s) each, but got {n_workers}: raise --per-gpu, or pass --gpus none"
        )
    return slots[:n_workers]


def visible_gpus() -> list[str]:
    """Return CUDA's names of the GPUs that this process may use; their indices by default."""
    import torch  # slow to import, and only needed where workers start

    # device_count alone includes GPUs whose driver is too old for torch
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (names := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in names.split(",") if name.strip()][:n_gpus]
    return [str(index) for index in range(n_gpus)]


def parse_n_workers(workers: str) -> int | None:
    """Parse `--workers`; `auto` is None.

    Raises:
        InputError: it is neither `auto` nor a positive number.
    """
    if workers == "auto":
        return None
    if not workers.isdecimal() or int(workers) < 1:
        raise InputError(f"--workers must be auto or a number from 1, but got {workers}")
    return int(workers)


def slots_argument(slots: str) -> list[str]:
    """Return the worker option for the number of trials that are trained at once.

    Raises:
        InputError: it is neither `auto` nor a number of trials.
    """
    if slots != "auto" and not (slots.isdecimal() and 1 <= int(slots) <= _MAX_SLOTS):
        raise InputError(
            f"--slots must be auto or a number from 1 to {_MAX_SLOTS}, but got {slots}"
        )
    return ["--slots", slots]


def _choose(gpus: str) -> list[str]:
    if gpus == "none":
        return []
    visible = visible_gpus()
    if gpus == "auto":
        return visible
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


def _gpu_slot(name: str, share: float) -> Slot:
    environment = {"CUDA_VISIBLE_DEVICES": name, **_ONE_THREAD, **REPRODUCIBLE}
    return Slot(device="cuda", environment=environment, share=share)
