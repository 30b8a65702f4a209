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
    """The dropout masks of one training run, made for all layers of a step at once.

    One hash serves two neighbouring units, by its halves.
    """

    def __init__(
        self, seed: int, rate: float, n_layers: int, n_units: int, dtype: torch.dtype
    ) -> None:
        """Round the rate to a 16-bit threshold.

        Args:
            seed: of the run.
            rate: the share of units that is dropped, below 1.
            n_layers: with dropout.
            n_units: of each of them.
            dtype: of the masks.
        """
        self._seed = seed
        self._level = min(round(rate * LEVELS), LEVELS - 1)
        self._n_layers = n_layers
        self._n_units = n_units
        self._dtype = dtype
        self._rows = self._pairs = self._hashes = self._scratch = self._kept = torch.empty(0)

    @property
    def scale(self) -> float:
        """What kept units are multiplied by, so that the expected sum stays the same."""
        return LEVELS / (LEVELS - self._level)

    def draw(self, step: int, n_rows: int, device: torch.device) -> torch.Tensor:
        """1 where a unit is kept and 0 where it is dropped, (n_layers, n_rows, n_units).

        The next draw overwrites them: fresh memory for each step costs more than the hashes.

        Args:
            step: of the run, counted over all its epochs.
            n_rows: of the batch.
            device: where the mask is made.
        """
        if len(self._rows) != n_rows:
            self._reserve(n_rows, device)
        keys = [key(Stream.DROPOUT, self._seed, step, layer) for layer in range(self._n_layers)]
        layers = torch.tensor(keys, dtype=torch.int32).to(device, non_blocking=True)
        rows = self._rows + layers[:, None]
        torch.bitwise_xor(rows[:, :, None], self._pairs, out=self._hashes)
        _scramble(self._hashes, self._scratch)
        halves = self._hashes.view(torch.int16)[:, :, : self._n_units]
        return torch.ge(halves, self._level - LEVELS // 2, out=self._kept)

    def _reserve(self, n_rows: int, device: torch.device) -> None:
        """Have counters and room for batches of so many rows; almost all have as many."""
        n_pairs = (self._n_units + 1) // 2
        self._rows = _hashes(key(Stream.DROPOUT, 0), n_rows, device)
        self._pairs = _hashes(key(Stream.DROPOUT, 1), n_pairs, device)
        shape = (self._n_layers, n_rows, n_pairs)
        self._hashes = torch.empty(shape, dtype=torch.int32, device=device)
        self._scratch = torch.empty_like(self._hashes)
        shape = (self._n_layers, n_rows, self._n_units)
        self._kept = torch.empty(shape, dtype=self._dtype, device=device)


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
