"""Training data, and the batches that an epoch makes of them.

The data stay on the device when they take at most `RESIDENT_SHARE` of its free memory; otherwise
they are streamed from the host. An epoch visits the training rows in a permuted order, a block of
rows at a time: the block is gathered, moved to the device and cut into batches. Resident and
streamed batches are equal to the bit. The last batch of an epoch may be smaller than the others.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, repeat
from typing import NamedTuple
from weakref import WeakValueDictionary

import torch

from hpo.config.trial import Task
from hpo.training.inputs import Inputs
from hpo.training.metrics import count_outputs
from hpo.training.random import permutation
from hpo.training.targets import IDENTITY, Link, TargetScale

RESIDENT_SHARE = 0.4
PACK_SHARE = 0.6
"""Largest share of a device's memory for the data of packs, which always stay on the device."""
BLOCK_BYTES = 64 * 2**20
EVALUATION_ROWS = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """The preprocessed training and validation part in host memory; `folds` is this alone.

    Attributes:
        n_classes: 2 for a binary task, 0 in a regression.
        x_train: (rows, n_columns) float32; `x_val`, on which epochs are measured, alike. In a refit
            both are the same rows.
        columns: what the columns hold; numbers alone if None.
        y_train: (rows,) float32, 0 or 1, for a binary task; int64 for several classes; float64 in
            the target's own units in a regression. `y_val` alike.
        w_train: (rows,) float64 weights of the training rows in the loss, not negative; None if all
            are equal.
        w_val: (rows,) float64 weights of the validation rows in metrics, likewise.
    """

    task: Task
    n_classes: int
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor
    columns: Inputs | None = None
    w_train: torch.Tensor | None = None
    w_val: torch.Tensor | None = None

    @property
    def folds(self) -> tuple["TrainingData"]:
        """The data as the only fold."""
        return (self,)

    @cached_property
    def inputs(self) -> Inputs:
        """The columns of a network's input, with the training part."""
        columns = self.columns or Inputs(n_numbers=self.x_train.shape[1])
        return replace(columns, x_train=self.x_train)

    @property
    def n_outputs(self) -> int:
        """Outputs of a network for these targets."""
        return count_outputs(self.task, self.n_classes)

    def scale(self, link: Link = "identity") -> TargetScale:
        """The scale of the training targets in a regression, otherwise `IDENTITY`."""
        if self.task != "regression":
            return IDENTITY
        if link not in self._scales:
            self._scales[link] = TargetScale.fit(self.y_train, link)
        return self._scales[link]

    @cached_property
    def _scales(self) -> dict[Link, TargetScale]:
        return {}

    def n_batches(self, batch_size: int) -> int:
        """Number of batches of an epoch."""
        return -(-len(self.x_train) // batch_size)

    @cached_property
    def n_bytes(self) -> int:
        """Memory of all tensors."""
        parts = (self.x_train, self.y_train, self.x_val, self.y_val, self.w_train, self.w_val)
        return sum(part.nbytes for part in parts if part is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldedData:
    """The data of a run with folds, each of which trains a network.

    Attributes:
        folds: at least two, with disjoint validation parts and equal task and classes.
    """

    folds: tuple[TrainingData, ...]


RunData = TrainingData | FoldedData
"""What a run is trained on, without or with folds."""


class Batch(NamedTuple):
    """A batch on the device.

    Attributes:
        x: (rows, n_columns) inputs.
        y: (rows,) targets; standardized in a regression.
        weights: (rows,) float32 weights in the loss, whose mean over the training part is 1; None
            if all are equal.
    """

    x: torch.Tensor
    y: torch.Tensor
    weights: torch.Tensor | None


class BatchLoader:
    """Loads batches to one device.

    Attributes:
        is_resident: whether the data stay on the device.
        x_train: on the device when the data are resident, otherwise on the host; `x_val` alike.
        w_train: where `x_train` is; the weights of `Batch`.
        y_val: on the device, in the target's own units.
        w_val: on the device, as in `TrainingData`.
    """

    def __init__(
        self,
        data: TrainingData,
        device: torch.device,
        *,
        resident_bytes: float | None = None,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Place the data.

        Args:
            data: in host memory.
            device: receives the batches.
            resident_bytes: largest size of data that stay on the device; `RESIDENT_SHARE` of its
                free memory by default.
            block_bytes: size of a block of rows; a block holds at least one batch.
        """
        if resident_bytes is None:
            resident_bytes = _free_bytes(device) * RESIDENT_SHARE
        self.is_resident = device.type == "cpu" or data.n_bytes <= resident_bytes
        home = device if self.is_resident else torch.device("cpu")
        self.data = data
        self.device = device
        self._block_bytes = block_bytes
        self.x_train = data.x_train.to(home)
        self._targets: dict[Link, torch.Tensor] = {}
        self.x_val = data.x_val.to(home)
        self.y_val = data.y_val.to(device)
        self.w_train = self.w_val = None
        if data.w_train is not None:
            self.w_train = (data.w_train / data.w_train.mean()).float().to(home)
        if data.w_val is not None:
            self.w_val = data.w_val.to(device)

    def targets(self, link: Link) -> torch.Tensor:
        """The training targets as networks learn them, where `x_train` is.

        Those of a regression are scaled in float64, then cast to float32.
        """
        if link not in self._targets:
            y = self.data.y_train
            if self.data.task == "regression":
                y = self.data.scale(link).learned(y).float()
            self._targets[link] = y.to(self.x_train.device)
        return self._targets[link]

    def batches(
        self, seed: int, epoch: int, batch_size: int, start: int = 0, link: Link = "identity"
    ) -> Iterator[Batch]:
        """The batches of an epoch.

        Args:
            seed: of the run.
            epoch: from 0; the order of the rows depends on seed and epoch.
            batch_size: rows of a batch.
            start: index of the first batch.
            link: between outputs and targets.
        """
        order = permutation(seed, epoch, len(self.x_train), self.x_train.device)
        y_train = self.targets(link)
        row_bytes = self.x_train.element_size() * self.x_train.shape[1]
        n_batches = max(1, self._block_bytes // (row_bytes * batch_size))
        n_blocks, n_skipped = divmod(start, n_batches)
        for rows in torch.split(order, n_batches * batch_size)[n_blocks:]:
            # The first block is gathered whole, skipped batches included: the result of a matrix
            # product may depend on the alignment of its factors in memory.
            sources = (self.x_train, y_train, self.w_train)
            gathered = [None if each is None else self._gather(each, rows) for each in sources]
            parts = [repeat(None) if t is None else torch.split(t, batch_size) for t in gathered]
            yield from islice(map(Batch, *parts), n_skipped, None)
            n_skipped = 0

    def validation_blocks(self) -> Iterator[torch.Tensor]:
        """The validation inputs in order, `EVALUATION_ROWS` at a time."""
        for x in torch.split(self.x_val, EVALUATION_ROWS):
            yield x.to(self.device)

    def _gather(self, source: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Some rows of the data, on the device."""
        if self.is_resident:
            return source.index_select(0, rows)
        # Pinned memory is copied asynchronously; its allocator waits before reuse.
        staged = torch.empty((len(rows), *source.shape[1:]), dtype=source.dtype, pin_memory=True)
        torch.index_select(source, 0, rows, out=staged)
        return staged.to(self.device, non_blocking=True)


class Loaders:
    """The loaders of one device: runs on the same data share one.

    A loader lives as long as its runs. Those of the latest run stay, since the next run mostly
    shares them.
    """

    def __init__(self, device: torch.device) -> None:
        """Start without data on the device."""
        self._device = device
        self._in_use: WeakValueDictionary[int, BatchLoader] = WeakValueDictionary()
        self._latest: list[BatchLoader] = []

    def of(self, data: RunData, *, is_resident: bool = False) -> list[BatchLoader]:
        """The loaders of these very data, one for each fold.

        Args:
            data: in host memory.
            is_resident: the data must stay on the device, however large they are.

        Raises:
            RuntimeError: there is too little memory.
        """
        self._latest = [self._of_fold(fold, is_resident=is_resident) for fold in data.folds]
        return self._latest

    def can_stay(self, data: TrainingData) -> bool:
        """Whether data may stay on the device for packs: they take at most `PACK_SHARE` of it."""
        return data.n_bytes <= PACK_SHARE * _all_bytes(self._device)

    def forget(self) -> None:
        """Free the memory of data that no run uses."""
        self._latest = []

    def _of_fold(self, data: TrainingData, *, is_resident: bool) -> BatchLoader:
        loader = self._in_use.get(id(data))
        if loader is None or (is_resident and not loader.is_resident):
            self.forget()
            resident_bytes = math.inf if is_resident else None
            loader = BatchLoader(data, self._device, resident_bytes=resident_bytes)
            self._in_use[id(data)] = loader
        return loader


def _all_bytes(device: torch.device) -> float:
    """Memory of a GPU; infinite on the host, which holds the data anyway."""
    if device.type != "cuda":
        return math.inf
    return torch.cuda.get_device_properties(device).total_memory


def _free_bytes(device: torch.device) -> float:
    """Free memory of a GPU; infinite on the host, which holds the data anyway."""
    if device.type != "cuda":
        return float("inf")
    free, _ = torch.cuda.mem_get_info(device)
    return free
