"""The training data, and the batches of an epoch.

The table lives on the device when it fits a share of the free memory, and on the host otherwise;
either way an epoch's rows are gathered in its random order a large block at a time, and a batch is a
slice of a block. The same order, the same bits.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from hpo.training.random import hash_key, permutation
from hpo.trial import Task

RESIDENT_SHARE = 0.5
"""Share of the device's free memory that a table may take and live there."""

BLOCK_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Preprocessed rows and their targets, on the CPU.

    Attributes:
        x_train: (rows, n_features) float32.
        y_train: (rows,) 0/1 float32, class int64, or float32 numbers in the target's units.
        x_val: as `x_train`.
        y_val: as `y_train`.
        n_classes: 0 in a regression.
    """

    task: Task
    n_classes: int
    x_train: torch.Tensor
    y_train: torch.Tensor
    x_val: torch.Tensor
    y_val: torch.Tensor

    @cached_property
    def target_mean(self) -> float:
        """Mean of a regression's training targets, otherwise 0."""
        return float(self.y_train.double().mean()) if self.task == "regression" else 0.0

    @cached_property
    def target_std(self) -> float:
        """Standard deviation of a regression's training targets, otherwise 1."""
        return float(self.y_train.double().std(correction=0)) if self.task == "regression" else 1.0

    @property
    def n_outputs(self) -> int:
        """Width of the network's last layer."""
        return self.n_classes if self.task == "multiclass" else 1


class Batches:
    """Batches by epoch and step; targets of a regression come standardised."""

    def __init__(
        self,
        data: TrainingData,
        batch_size: int,
        seed: int,
        device: torch.device,
        dtype: torch.dtype,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Place the table.

        Args:
            data: the table.
            batch_size: rows a batch; the last of an epoch holds what is left.
            seed: of the order of rows.
            device: where batches are wanted.
            dtype: of their inputs.
            block_bytes: about how much is gathered at a time.
        """
        x = data.x_train.to(dtype)
        y = data.y_train
        if data.task == "regression":
            y = (y - data.target_mean) / data.target_std
        if fits(x, device):
            x, y = x.to(device), y.to(device)
        elif device.type == "cuda":
            x, y = x.pin_memory(), y.pin_memory()
        self._x, self._y = x, y
        self._batch_size, self._seed, self._device = batch_size, seed, device
        row_bytes = max(1, x.shape[1] * x.element_size())
        self._steps_per_block = max(1, block_bytes // (row_bytes * batch_size))
        self._at: tuple[int, int] | None = None

    @property
    def n_steps(self) -> int:
        """Steps of an epoch."""
        return -(-len(self._x) // self._batch_size)

    def batch(self, epoch: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (rows, n_features) and targets (rows,) of a step, counted within its epoch."""
        block, within = divmod(step, self._steps_per_block)
        if self._at != (epoch, block):
            self._gather(epoch, block)
        rows = slice(within * self._batch_size, (within + 1) * self._batch_size)
        return self._block_x[rows], self._block_y[rows]

    def _gather(self, epoch: int, block: int) -> None:
        if self._at is None or self._at[0] != epoch:
            key = hash_key(self._seed, 4, epoch)
            self._order = permutation(key, len(self._x), self._x.device)
        size = self._steps_per_block * self._batch_size
        rows = self._order[block * size : (block + 1) * size]
        self._block_x = self._x[rows].to(self._device, non_blocking=True)
        self._block_y = self._y[rows].to(self._device, non_blocking=True)
        self._at = (epoch, block)


def fits(x: torch.Tensor, device: torch.device) -> bool:
    """Whether a table may live on the device."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return x.numel() * x.element_size() <= RESIDENT_SHARE * free
