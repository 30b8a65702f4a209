"""A counter-based random generator: every number is a hash of where it is used.

A dropout mask depends on (seed, step, layer, row, unit) and on nothing else, so that it is the same
on every device, and the same whether a network trains alone or padded among others. The order of
the rows depends on (seed, epoch, row), initial weights on (seed, layer, index).

The hash is two rounds of multiplication and xor-shift on 32 bits, with constants from Wellons'
search for low bias (https://nullprogram.com/blog/2018/07/31/); integers wrap alike everywhere.

Does not know: networks, data, torch's own generators.
"""

from enum import IntEnum

import torch

MULTIPLIERS = (0x7FEB352D, -0x7B935975)  # 0x846CA68B as a signed number
SPREAD = -0x61C88647  # 2^32 divided by the golden ratio, odd, as a signed number
WORD = 0xFFFFFFFF
LEVELS = 2**16
"""A dropout rate is rounded to a multiple of 1 / LEVELS."""


class Stream(IntEnum):
    """What numbers are used for; no two uses share any."""

    ORDER = 1
    DROPOUT = 2
    WEIGHTS = 3


def key(stream: Stream, *counters: int) -> int:
    """Hash some counters to a signed 32-bit number."""
    state = int(stream)
    for counter in counters:
        state = _scrambled((state ^ counter) + 0x9E3779B9 & WORD)
    return state - (state >> 31 << 32)


def permutation(seed: int, epoch: int, n_rows: int, device: torch.device) -> torch.Tensor:
    """The order in which an epoch visits the training rows: (n_rows,) int64 on `device`."""
    hashes = _hashes(key(Stream.ORDER, seed, epoch), n_rows, device)
    return hashes.argsort(stable=True)


def uniform(seed: int, layer: int, shape: tuple[int, ...], bound: float) -> torch.Tensor:
    """Numbers between -bound and bound, float32 of `shape` on the CPU, by the flat index."""
    n = int(torch.Size(shape).numel())
    hashes = _hashes(key(Stream.WEIGHTS, seed, layer), n, torch.device("cpu"))
    mantissas = (hashes >> 8).to(torch.float32).view(shape)  # 24 bits, all that float32 tells apart
    return mantissas.add_(0.5).mul_(bound / 2**23)


class DropoutMasks:
    """The dropout masks of one training run, made a layer at a time.

    One hash serves two neighbouring units, by its halves.
    """

    def __init__(self, seed: int, rate: float, device: torch.device) -> None:
        """Round the rate to a 16-bit threshold.

        Args:
            seed: of the run.
            rate: the share of units that is dropped, below 1.
            device: where masks are made.
        """
        self._seed = seed
        self._level = min(round(rate * LEVELS), LEVELS - 1)
        self._device = device
        self._rows = self._units = torch.empty(0, dtype=torch.int32, device=device)
        self._hashes = self._shifted = torch.empty(0, 0, dtype=torch.int32, device=device)

    @property
    def scale(self) -> float:
        """What kept units are multiplied by, so that the expected sum stays the same."""
        return LEVELS / (LEVELS - self._level)

    def mask(self, step: int, layer: int, like: torch.Tensor) -> torch.Tensor:
        """1 where a unit is kept and 0 where it is dropped.

        Args:
            step: of the run, counted over all its epochs.
            layer: of the network.
            like: (rows, units); the mask has its shape and its type.
        """
        n_rows, n_units = like.shape
        self._reserve(n_rows, (n_units + 1) // 2)
        rows = self._rows + key(Stream.DROPOUT, self._seed, step, layer)
        torch.bitwise_xor(rows[:, None], self._units, out=self._hashes)
        _scramble(self._hashes, self._shifted)
        halves = self._hashes.view(torch.int16)[:, :n_units]
        return torch.ge(halves, self._level - LEVELS // 2, out=torch.empty_like(like))

    def _reserve(self, n_rows: int, n_pairs: int) -> None:
        """Have counters and room for a mask of this shape; batches mostly share one."""
        if self._hashes.shape != (n_rows, n_pairs):
            self._rows = _hashes(key(Stream.DROPOUT, 0), n_rows, self._device)
            self._units = _hashes(key(Stream.DROPOUT, 1), n_pairs, self._device)
            self._hashes = self._hashes.new_empty(n_rows, n_pairs)
            self._shifted = torch.empty_like(self._hashes)


def _hashes(offset: int, n: int, device: torch.device) -> torch.Tensor:
    """Hash the counters from 0 to n, (n,) int32."""
    hashes = torch.arange(n, device=device).to(torch.int32).mul_(SPREAD).add_(offset)
    scratch = torch.empty_like(hashes)
    _scramble(hashes, scratch)
    _scramble(hashes, scratch)
    return hashes


def _scramble(hashes: torch.Tensor, scratch: torch.Tensor) -> None:
    """Mix the bits of int32 numbers in place."""
    for shift, multiplier in zip((16, 15), MULTIPLIERS, strict=True):
        torch.bitwise_right_shift(hashes, shift, out=scratch)
        hashes.bitwise_xor_(scratch).mul_(multiplier)


def _scrambled(word: int) -> int:
    """Mix the bits of one unsigned 32-bit number, to the last."""
    word = (word ^ word >> 16) * 0x7FEB352D & WORD
    word = (word ^ word >> 15) * 0x846CA68B & WORD
    return word ^ word >> 16
