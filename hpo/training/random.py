"""Random numbers by counting: each is a hash of where it is used.

A dropout mask depends on (seed, step, layer, row, unit), the order of rows on (seed, epoch, row), an
initial weight on (seed, layer, unit, input): on nothing that came before, and not on padding. So a
training continued in the middle, or beside others as one program, draws the same numbers.

The hash is lowbias32 (Wellons 2018), on int32 tensors, whose products wrap around.
"""

import math

import torch

GRID_STRIDE = 65_536
"""Distance of two rows' counters: the greatest width of a layer."""

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B


def hash_key(*parts: int) -> int:
    """Hash integers, one after the other, to a signed 32-bit key."""
    state = 0x9E3779B9
    for part in parts:
        state ^= part & 0xFFFFFFFF
        state = (state ^ (state >> 16)) * _FIRST & 0xFFFFFFFF
        state = (state ^ (state >> 15)) * _SECOND & 0xFFFFFFFF
        state ^= state >> 16
    return _signed(state)


def hash_counters(counters: torch.Tensor) -> torch.Tensor:
    """Hash each of some int32 counters to an int32."""
    state = (counters ^ _shifted(counters, 16)) * _FIRST
    state = (state ^ _shifted(state, 15)) * _signed(_SECOND)
    return state ^ _shifted(state, 16)


def uniform(key: int, rows: int, columns: int) -> torch.Tensor:
    """(rows, columns) float32 in [-1, 1), on the CPU."""
    hashed = hash_counters(mask_grid(rows, columns, torch.device("cpu")) ^ key)
    return (hashed >> 8).float() / 2**23


def permutation(key: int, n_rows: int, device: torch.device) -> torch.Tensor:
    """A random order of rows: (n_rows,) int64."""
    counters = torch.arange(n_rows, dtype=torch.int32, device=device)
    return hash_counters(hash_counters(counters) ^ key).argsort(stable=True)


def mask_grid(rows: int, columns: int, device: torch.device) -> torch.Tensor:
    """Hashed counters of (row, unit), int32: the part of a dropout mask that never changes."""
    row = torch.arange(rows, dtype=torch.int32, device=device)[:, None]
    unit = torch.arange(columns, dtype=torch.int32, device=device)
    return hash_counters(row * GRID_STRIDE + unit)


def keep_mask(grid: torch.Tensor, key: int, dropout: float) -> torch.Tensor:
    """Which units a dropout keeps, boolean, of the shape of `grid`.

    One multiplication and one shift do: the grid is hashed already, and the key is.
    """
    state = (grid ^ key) * _FIRST
    state ^= _shifted(state, 15)
    state *= _signed(_SECOND)
    return state >= math.floor(dropout * 2**32) - 2**31


def _shifted(value: torch.Tensor, n_bits: int) -> torch.Tensor:
    """Shift right, zeros coming in, as unsigned integers do."""
    return (value >> n_bits) & ((1 << (32 - n_bits)) - 1)


def _signed(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value
