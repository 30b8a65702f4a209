"""Which precision a trial trains in, and what its repetition depends on."""

import platform

import torch

from hpo.trial import Environment, Precision

MIN_WIDTH = 128
"""Width from which bfloat16 pays on a processor that multiplies in it; narrower layers spend their
time elsewhere."""


def resolve_precision(precision: Precision, width: int, device: torch.device) -> Precision:
    """What `auto` means for layers of a width: bfloat16 where the device is faster with it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        fast = width >= MIN_WIDTH and multiplies_bfloat16()
    return "bfloat16" if fast else "float32"


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16 products (AVX512_BF16, AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def describe_environment(device: torch.device, precision: Precision) -> Environment:
    """What a bit-for-bit repetition depends on besides the configuration."""
    is_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if is_gpu else platform.machine()
    return Environment(
        device=name,
        n_threads=torch.get_num_threads(),
        precision=precision,
        torch=torch.__version__,
    )
