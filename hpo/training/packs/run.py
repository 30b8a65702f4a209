"""A run in a pack: its record, and its tensors as one network alone keeps them.

In a pack the tensors lie scattered and padded among those of others. Outside they are flat, under
the names of a checkpoint, so that a run can enter a pack, leave it and go on elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from hpo.config.trial import OptimizerName
from hpo.training.checkpoint import BEST_VALUES, OPTIMIZER, VALUES, Checkpoint
from hpo.training.families.family import family_of, flatten
from hpo.training.optimizers import first_step, memory_shapes
from hpo.training.precision import master_dtype
from hpo.training.record import Record
from hpo.training.trainer import Run

MEAN, MEAN_SQUARE, STEP = f"{OPTIMIZER}mean", f"{OPTIMIZER}mean_square", f"{OPTIMIZER}step"
VELOCITY = f"{OPTIMIZER}velocity"
STATE = (VALUES, BEST_VALUES, MEAN, MEAN_SQUARE)
"""Tensors that a pack keeps of each run; the velocity of SGD is kept as the mean."""

State = Mapping[str, Sequence[torch.Tensor]]
"""Tensors by the names of `STATE`, each cut into the network's parameters."""


@dataclass(kw_only=True, eq=False)
class PackedRun:
    """A run in a trainer of many.

    Attributes:
        start: checkpoint to resume from; None for a new run, and once the run is in a pack.
    """

    run: Run
    record: Record
    start: Checkpoint | None

    @classmethod
    def of(cls, run: Run, checkpoint: Checkpoint | None, device: torch.device) -> "PackedRun":
        """A run to train on a device."""
        return cls(run=run, record=Record.of(run.config, checkpoint, device), start=checkpoint)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The initial flat tensors on the CPU, by the names of `STATE`."""
        if self.start:
            found = self.start.tensors
            mean = found[VELOCITY if VELOCITY in found else MEAN]
            square = found.get(MEAN_SQUARE, torch.zeros_like(mean))
            flat = (found[VALUES], found[BEST_VALUES], mean, square)
        else:
            config, (data,) = self.run.config, self.run.data.folds
            family, seed = family_of(config.model), config.training.seed
            network = family.build(config.model, data.inputs, data.n_outputs, seed=seed)
            network.to(master_dtype(self.record.precision))
            values = flatten(config.model, network).values
            flat = (values, values, torch.zeros_like(values), torch.zeros_like(values))
        return dict(zip(STATE, flat, strict=True))

    def checkpoint(self, state: State, device: torch.device) -> Checkpoint | None:
        """The state of the run, from its tensors in a pack; None before the first step."""
        flat = {name: joined(state[name]) for name in STATE}
        name, n_steps = self.run.config.optimizer.name, self.record.n_steps
        return self.record.checkpoint(_named(name, flat, n_steps), device)


def joined(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Join a network's parameters to one flat tensor."""
    return torch.cat([part.flatten() for part in parts])


def _named(
    optimizer: OptimizerName, flat: Mapping[str, torch.Tensor], n_steps: int
) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint."""
    values = flat[VALUES]
    memory = {
        VELOCITY: flat[MEAN],
        MEAN: flat[MEAN],
        MEAN_SQUARE: flat[MEAN_SQUARE],
        STEP: values.new_full((), first_step(optimizer) + n_steps, dtype=torch.float32),
    }
    names = [f"{OPTIMIZER}{name}" for name in memory_shapes(optimizer, len(values))]
    return {
        VALUES: values,
        BEST_VALUES: flat[BEST_VALUES],
        **{name: memory[name] for name in names},
    }
