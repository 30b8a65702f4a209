"""Packing: the optional part of a model family by which many networks train at once."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from hpo.config.families import ModelConfig
from hpo.training.inputs import Inputs
from hpo.training.losses import Gradient
from hpo.training.random import PackedMasks

Config = TypeVar("Config", bound=ModelConfig, contravariant=True)
PackedConfig = TypeVar("PackedConfig", bound=ModelConfig, covariant=True)

Dropout = Callable[[torch.Tensor, torch.Tensor, PackedMasks], torch.Tensor]
"""`hpo.training.random.apply_dropout`, as it is or compiled."""
MaskKeys = Callable[[PackedMasks, torch.Tensor, int, int], torch.Tensor]
"""`PackedMasks.keys`, likewise."""


@dataclass(frozen=True, kw_only=True)
class ParameterBlock:
    """Parameters of the first slots of a pack, a row for each: (n_slots, n) in a buffer.

    Attributes:
        n_slots: rows.
        n: length of a row.
        n_weights: parameters at the start of a row that decay.
        is_master: training computes with the master parameters, not with copies of lower precision.
    """

    n_slots: int
    n: int
    n_weights: int
    is_master: bool

    def zeros(self, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """A buffer of zeros."""
        return torch.zeros(self.n_slots, self.n, dtype=dtype, device=device)


class PackedNetworks(Protocol):
    """The networks of a pack: where their parameters lie, and their passes.

    Buffers are sequences of tensors, one for each of `blocks`.
    """

    @property
    def blocks(self) -> Sequence[ParameterBlock]:
        """What the parameters lie in."""

    def cut(self, buffers: Sequence[torch.Tensor], slot: int) -> list[torch.Tensor]:
        """Views of one network's parameters without padding, in the order of `FlatParameters`."""

    def bind(self, values: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        """Set the buffers that `run` reads parameters from and writes gradients to."""

    def run(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        weights: torch.Tensor,
        steps: torch.Tensor,
        drop: Dropout,
        draw: MaskKeys,
    ) -> None:
        """Write the gradients of each network's weighted losses to the bound buffers.

        Args:
            x: (slots, rows, n_columns).
            y: (slots, rows) targets; of several smoothed classes (slots, rows, n_outputs).
            weights: of the rows, (slots, rows, 1).
            steps: of each run, (slots,); dropout depends on them.
            drop: applies a layer's mask.
            draw: makes the keys of the masks.
        """

    def outputs(
        self, values: Sequence[torch.Tensor], blocks: Iterable[torch.Tensor]
    ) -> torch.Tensor:
        """All networks' outputs without dropout: (slots, rows, n_outputs).

        Args:
            values: parameters, in the types of training.
            blocks: the inputs, (rows, n_columns) each, the same for all networks.
        """


@dataclass(frozen=True, kw_only=True)
class PackSpec(Generic[PackedConfig]):
    """What the networks of a pack are built from.

    Attributes:
        configs: of the networks, by slot.
        seeds: of the runs' dropout, by slot.
        inputs: columns of the preprocessed features.
        n_outputs: of each network.
        gradient: of the loss.
        master: the type of parameters and of the optimizer's state.
        working: the type to compute in.
        device: to compute on.
    """

    configs: Sequence[PackedConfig]
    seeds: Sequence[int]
    inputs: Inputs
    n_outputs: int
    gradient: Gradient
    master: torch.dtype
    working: torch.dtype
    device: torch.device


class Packing(Protocol[Config]):
    """How the networks of a family train in packs."""

    def key(self, config: Config, inputs: Inputs) -> Hashable:
        """Networks with equal keys may be packed together without much padding."""

    def order(self, config: Config) -> tuple[int, ...]:
        """Sort key of a pack's networks: `networks` takes them in this order."""

    def networks(self, spec: PackSpec[Config]) -> PackedNetworks:
        """The networks of a pack."""
