"""Lack of memory, as torch says it, and how to give memory back.

Does not know: whose it is.
"""

import gc

import torch

from hpo.errors import first_line

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
"""On a GPU, on the host, in cuBLAS; only the first has an exception type."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that memory is lacking."""
    return any(words in first_line(error) for words in OUT_OF_MEMORY)


def free_memory(device: torch.device) -> None:
    """Give back what nothing refers to; out of reach of a traceback, which refers to a lot."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
