"""Out-of-memory errors of torch, and how to free memory."""

import gc

import torch

from hpo.config.errors import first_line

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""Messages of the GPU, the host and cuBLAS; only the first has an exception type."""
ROOM = 0.25
"""Share of a device's memory that torch's cache should leave free for other processes."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out."""
    return any(words in first_line(error) for words in OUT_OF_MEMORY)


def free_memory(device: torch.device) -> None:
    """Free unreferenced memory. Call it outside of `except`: a traceback holds references."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # other streams may still write to freed memory
        torch.cuda.empty_cache()


def leave_room(device: torch.device) -> None:
    """Empty torch's cache when the device has little memory left for other processes.

    The memory of a deleted CUDA graph is not reused by other graphs.
    """
    if device.type == "cuda":
        n_free, n_bytes = torch.cuda.mem_get_info(device)
        if n_free < ROOM * n_bytes:
            torch.cuda.empty_cache()
