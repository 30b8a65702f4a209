"""A counter-based random generator: every number is a hash of counters.

A dropout mask depends only on (seed, step, layer, row, unit), so that it is the same on every
device, and the same whether a network trains alone or padded in a pack. The order of the rows
depends on (seed, epoch, row), initial weights on (seed, layer, index).

The hash is two rounds of multiplication and xor-shift on 32 bits, with constants from Wellons'
search for low bias (https://nullprogram.com/blog/2018/07/31/). Integers overflow alike on every
device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import torch

SHIFTS = (16, 15)
MULTIPLIERS = (0x7FEB352D, -0x7B935975)  # 0x846CA68B as a signed number
SPREAD = -0x61C88647  # 2^32 divided by the golden ratio, odd, as a signed number
WORD = 0xFFFFFFFF
GOLDEN = 0x9E3779B9
LEVELS = 2**16
"""A dropout rate is rounded to a multiple of 1 / LEVELS."""


class Stream(IntEnum):
    """Uses of random numbers; no two of them share numbers."""

    ORDER = 1
    DROPOUT = 2
    WEIGHTS = 3


Word = TypeVar("Word", int, torch.Tensor)
"""An unsigned 32-bit number, or a tensor of them in int64."""


def key(stream: Stream, *counters: int) -> int:
    """Hash counters to a signed 32-bit number."""
    return _signed(state(stream, *counters))


def state(stream: Stream, *counters: int) -> int:
    """An unsigned 32-bit number to hash further counters into."""
    word = int(stream)
    for counter in counters:
        word = _folded(word, counter)
    return word


def permutation(seed: int, epoch: int, n_rows: int, device: torch.device) -> torch.Tensor:
    """The order in which an epoch visits the training rows: (n_rows,) int64 on `device`."""
    return permutations([(seed, epoch)], n_rows, device)[0]


def permutations(
    epochs: Sequence[tuple[int, int]], n_rows: int, device: torch.device
) -> torch.Tensor:
    """The orders of several epochs, given as (seed, epoch): (len(epochs), n_rows) int64."""
    keys = torch.tensor([key(Stream.ORDER, *epoch) for epoch in epochs], dtype=torch.int32)
    hashes = _hashes(keys.to(device, non_blocking=True)[:, None], n_rows, device)
    return hashes.argsort(dim=1, stable=True)


def uniform(seed: int, layer: int, shape: tuple[int, ...], bound: float) -> torch.Tensor:
    """Uniform numbers between -bound and bound: float32 of `shape` on the CPU."""
    n = int(torch.Size(shape).numel())
    hashes = _hashes(key(Stream.WEIGHTS, seed, layer), n, torch.device("cpu"))
    mantissas = (hashes >> 8).to(torch.float32).view(shape)  # 24 bits, the precision of float32
    return mantissas.add_(0.5).mul_(bound / 2**23)


class DropoutMasks:
    """The dropout masks of one run, drawn for all layers of a step at once.

    The two halves of a hash serve two neighboring units.
    """

    def __init__(
        self, seed: int, rate: float, n_layers: int, n_units: int, dtype: torch.dtype
    ) -> None:
        """Round the rate to a 16-bit threshold.

        Args:
            seed: of the run.
            rate: probability that a unit is dropped, below 1.
            n_layers: number of layers with dropout.
            n_units: units of each of them.
            dtype: of the masks.
        """
        self._seed = seed
        self._level = _level(rate)
        self._n_layers = n_layers
        self._n_units = n_units
        self._dtype = dtype
        self._rows = self._pairs = self._hashes = self._scratch = self._kept = torch.empty(0)

    @property
    def scale(self) -> float:
        """Factor of kept units, which preserves the expected sum."""
        return _scale(self._level)

    def draw(self, step: int, n_rows: int, device: torch.device) -> torch.Tensor:
        """1 where a unit is kept and 0 where it is dropped, (n_layers, n_rows, n_units).

        The next draw overwrites them: allocating memory for each step costs more than the hashes.

        Args:
            step: of the run, counted over all its epochs.
            n_rows: of the batch.
            device: of the masks.
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
        """Allocate counters and buffers for batches of `n_rows`; almost all batches are equal."""
        n_pairs = (self._n_units + 1) // 2
        self._rows = _hashes(key(Stream.DROPOUT, 0), n_rows, device)
        self._pairs = _hashes(key(Stream.DROPOUT, 1), n_pairs, device)
        shape = (self._n_layers, n_rows, n_pairs)
        self._hashes = torch.empty(shape, dtype=torch.int32, device=device)
        self._scratch = torch.empty_like(self._hashes)
        shape = (self._n_layers, n_rows, self._n_units)
        self._kept = torch.empty(shape, dtype=self._dtype, device=device)


@dataclass(frozen=True, kw_only=True, eq=False)
class PackedMasks:
    """Dropout masks of many runs at once, equal to those of `DropoutMasks`.

    The runs may be at different steps.

    Attributes:
        states: hash of each run's seed, (slots,) int64; step and layer are hashed into it.
        scales: factor of kept units, (slots, 1, 1).
        thresholds: smallest half of a hash whose unit is kept, (slots, 1, 1) int32.
        pairs: hash of each unit's pair, (n_units,) int32.
        lefts: left shift that moves a unit's half of a hash to the top, (n_units,) int32.
    """

    states: torch.Tensor
    scales: torch.Tensor
    thresholds: torch.Tensor
    pairs: torch.Tensor
    lefts: torch.Tensor

    @classmethod
    def of(
        cls,
        seeds: Sequence[int],
        rates: Sequence[float],
        n_units: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> "PackedMasks":
        """Prepare the masks of some runs, by slot.

        Args:
            seeds: of the runs.
            rates: dropout rates of the runs.
            n_units: units of a layer, padding included.
            dtype: of the scales.
            device: of the masks.
        """
        levels = [_level(rate) for rate in rates]
        scales = [_scale(level) for level in levels]
        thresholds = [level - LEVELS // 2 for level in levels]
        units = torch.arange(n_units, dtype=torch.int32, device=device)
        return cls(
            states=torch.tensor([state(Stream.DROPOUT, seed) for seed in seeds], device=device),
            scales=torch.tensor(scales, dtype=dtype, device=device).view(-1, 1, 1),
            thresholds=torch.tensor(thresholds, dtype=torch.int32, device=device).view(-1, 1, 1),
            pairs=_hashes(key(Stream.DROPOUT, 1), (n_units + 1) // 2, device)[units // 2],
            lefts=16 * (1 - units % 2),  # the lower half of a hash serves the even unit
        )

    def keys(self, steps: torch.Tensor, n_layers: int, n_rows: int) -> torch.Tensor:
        """Initial hashes of the rows, (n_layers, slots, n_rows) int32.

        Args:
            steps: of each run, (slots,) int64.
            n_layers: number of layers with dropout.
            n_rows: rows of a batch.
        """
        layers = torch.arange(n_layers, device=steps.device)[:, None]
        keys = _signed(_folded(_folded(self.states, steps), layers)).to(torch.int32)
        return keys[:, :, None] + _hashes(key(Stream.DROPOUT, 0), n_rows, steps.device)


def apply_dropout(x: torch.Tensor, keys: torch.Tensor, masks: PackedMasks) -> torch.Tensor:
    """Apply dropout to a layer of the first slots; the backward pass is the same function.

    Args:
        x: units (slots, n_rows, n_units).
        keys: of the layer, (slots, n_rows).
        masks: of the pack.
    """
    hashes = keys[:, :, None] ^ masks.pairs
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=True):
        hashes = (hashes ^ hashes >> shift) * multiplier
    is_kept = hashes << masks.lefts >> 16 >= masks.thresholds[: len(x)]
    return torch.where(is_kept, x * masks.scales[: len(x)], 0.0).to(x.dtype)


def _level(rate: float) -> int:
    return min(round(rate * LEVELS), LEVELS - 1)


def _scale(level: int) -> float:
    return LEVELS / (LEVELS - level)


def _hashes(offset: int | torch.Tensor, n: int, device: torch.device) -> torch.Tensor:
    """Hash the counters from 0 to n, (n,) int32, or (k, n) for offsets (k, 1)."""
    hashes = torch.arange(n, device=device).to(torch.int32).mul_(SPREAD).add(offset)
    scratch = torch.empty_like(hashes)
    _scramble(hashes, scratch)
    _scramble(hashes, scratch)
    return hashes


def _scramble(hashes: torch.Tensor, scratch: torch.Tensor) -> None:
    """Mix the bits of int32 numbers in place."""
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=True):
        torch.bitwise_right_shift(hashes, shift, out=scratch)
        hashes.bitwise_xor_(scratch).mul_(multiplier)


def _folded(word: Word, counter: Word) -> Word:
    """Hash a counter into an unsigned 32-bit number."""
    return _scrambled((word ^ counter) + GOLDEN & WORD)


def _signed(word: Word) -> Word:
    return word - (word >> 31 << 32)


def _scrambled(word: Word) -> Word:
    """Mix all bits of an unsigned 32-bit number."""
    word = (word ^ word >> 16) * 0x7FEB352D & WORD
    word = (word ^ word >> 15) * 0x846CA68B & WORD
    return word ^ word >> 16
