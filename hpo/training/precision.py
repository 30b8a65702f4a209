"""What a device computes best in, and what a repetition to the bit depends on."""

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
    """What `auto` means for a network of this width on this device.

    On a GPU, bfloat16 from compute capability 8 on. On a processor, bfloat16 for networks of at
    least `MIN_WIDTH` units where a matrix product in it is measured to be `MIN_GAIN` times as fast:
    with AVX512_BF16 or AMX it is 2 to 4 times as fast, without it is slower than float32.

    Args:
        precision: what the configuration says.
        width: units of a hidden layer.
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
    """The type that parameters and the optimizer's memory are kept in."""
    return torch.float64 if precision == "float64" else torch.float32


def describe_environment(device: torch.device, precision: Precision) -> Environment:
    """What a run on this device depends on; `precision` is the resolved one."""
    return Environment(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        n_threads=torch.get_num_threads(),
        precision=precision,
        torch=torch.__version__,
    )


@cache
def _bfloat16_gain(n_threads: int) -> float:
    """How many times as fast as float32 the processor multiplies bfloat16 matrices.

    The fastest of some rounds counts, the two types in turn, so that other load hardly shows.
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
    """The processor's model, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
