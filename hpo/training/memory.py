"""Lack of memory, as torch says it, and how to give memory back."""

import gc

import torch

from hpo.config.errors import first_line

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""On a GPU, on the host, in cuBLAS; only the first has an exception type."""
ROOM = 0.25
"""The share of a device's memory that is to be free for others where nothing is in want of it."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory is lacking."""
    return any(words in first_line(error) for words in OUT_OF_MEMORY)


def free_memory(device: torch.device) -> None:
    """Give back what nothing refers to; out of reach of a traceback, which refers to a lot."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # what was given up may still be written to, by its stream
        torch.cuda.empty_cache()


def leave_room(device: torch.device) -> None:
    """Give back what torch keeps in store, where the device has little left for other processes.

    A CUDA graph's memory serves no other graph when it is gone.
    """
    if device.type == "cuda":
        n_free, n_bytes = torch.cuda.mem_get_info(device)
        if n_free < ROOM * n_bytes:
            torch.cuda.empty_cache()
