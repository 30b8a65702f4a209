"""The precision that suits a device, and the environment of a run."""

import platform
import time
from functools import cache
from pathlib import Path

import torch

from hpo.config.trial import Environment, Precision

MIN_WIDTH = 128
MIN_GAIN = 1.4
PROBE_SIZE = 256
PROBE_ROUNDS = 12


def resolve_precision(precision: Precision, width: int, device: torch.device) -> Precision:
    """Resolve `auto` for a network of this width on this device.

    GPUs of compute capability 8 and above use bfloat16. CPUs use it for networks of at least
    `MIN_WIDTH` units if a matrix product is measured to be `MIN_GAIN` times as fast as in float32:
    it is 2 to 4 times as fast with AVX512_BF16 or AMX, and slower without.

    Args:
        precision: from the configuration.
        width: size of the network's widest matrix products.
        device: where training runs.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        is_faster = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        is_faster = width >= MIN_WIDTH and _bfloat16_gain(torch.get_num_threads()) >= MIN_GAIN
    return "bfloat16" if is_faster else "float32"


def master_dtype(precision: Precision) -> torch.dtype:
    """The type of parameters and of the optimizer's state."""
    return torch.float64 if precision == "float64" else torch.float32


def describe_environment(device: torch.device, precision: Precision) -> Environment:
    """The environment of a run on this device; `precision` is the resolved one."""
    return Environment(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        n_threads=torch.get_num_threads(),
        precision=precision,
        torch=torch.__version__,
    )


@cache
def _bfloat16_gain(n_threads: int) -> float:
    """Speed of a bfloat16 matrix product on the CPU relative to float32.

    Both types alternate, and the fastest round of each counts, so that other load hardly matters.
    """
    fastest = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(PROBE_ROUNDS):
        for dtype in fastest:
            matrix = torch.ones(PROBE_SIZE, PROBE_SIZE, dtype=dtype)
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            fastest[dtype] = min(fastest[dtype], time.perf_counter() - start)
    return fastest[torch.float32] / fastest[torch.bfloat16]


@cache
def _processor() -> str:
    """The CPU's model name, or its architecture where the name is unknown."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
