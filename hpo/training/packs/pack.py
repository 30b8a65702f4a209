"""A pack: many runs in training at once, as one program.

Runs of a pack share the data, batch size, loss, objective and precision, and differ in everything
else. A step updates every run, wherever in its epoch it is. When a run ends an epoch, its
parameters are copied aside; the copies of all runs are validated together once each run has one.
The device keeps the best parameters, and the host reads the metrics at the end of a slice. A run
that is over continues until then, and is ignored.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hpo.config.metrics import find_metric
from hpo.config.trial import Loss, Measurement, ObjectiveConfig, Precision
from hpo.training.batches import BatchLoader
from hpo.training.checkpoint import VALUES
from hpo.training.families.packing import Packing, PackSpec
from hpo.training.losses import Gradient, loss_gradient, smoothed
from hpo.training.packs.program import Program
from hpo.training.packs.run import STATE, PackedRun, State
from hpo.training.packs.update import PackOptimizer
from hpo.training.parameters import split
from hpo.training.precision import master_dtype
from hpo.training.random import permutations
from hpo.training.record import measure_validation
from hpo.training.targets import Link

METRIC_SLOTS = 16
"""Members whose metrics are computed at once; a larger number needs more memory."""


@dataclass(frozen=True, kw_only=True)
class PackKey:
    """What the runs of a pack have in common.

    Attributes:
        loss: not `auto`.
        link: between outputs and targets.
        packing: of the networks' family.
        size: its `key`.
    """

    loader: BatchLoader
    batch_size: int
    loss: Loss
    link: Link
    objective: ObjectiveConfig
    precision: Precision
    packing: Packing[Any]
    size: Hashable


class Pack:
    """Trains its members together.

    Attributes:
        key: what the members have in common.
        members: the runs, by slot.
    """

    def __init__(self, key: PackKey, members: Sequence[PackedRun]) -> None:
        """Allocate memory for the members, and rehearse a step: memory runs out here if at all.

        Raises:
            RuntimeError: there is too little memory.
        """
        self.members = sorted(members, key=lambda m: key.packing.order(m.run.config.model))
        self.key, self._loader, self._device = key, key.loader, key.loader.device
        self._targets = key.loader.targets(key.link)
        data, configs = self._loader.data, [member.run.config for member in self.members]
        self._n_batches = data.n_batches(key.batch_size)
        self._master = master_dtype(key.precision)
        self._working = getattr(torch, key.precision)
        spec = PackSpec(
            configs=[config.model for config in configs],
            seeds=[config.training.seed for config in configs],
            inputs=data.inputs,
            n_outputs=data.n_outputs,
            gradient=self._gradient(),
            master=self._master,
            working=self._working,
            device=self._device,
        )
        self._networks = key.packing.networks(spec)
        self._make_buffers()
        blocks = self._networks.blocks
        self._optimizer = PackOptimizer(
            configs, blocks, self._master, self._device, self._n_batches
        )
        self._make_counters()
        self._program = Program(self._device)
        with torch.no_grad(), self._program.on_stream():
            self._validate()
            self._program.rehearse(self._step)
            self._forget()

    def enter(self, slot: int, state: State, orders: torch.Tensor | None = None) -> None:
        """Copy a member's state to its slot, before `begin`.

        Args:
            slot: of the member.
            state: its tensors.
            orders: of the rows in its epochs, from another pack; drawn if None.
        """
        with torch.no_grad(), self._program.on_stream():
            for name, parts in self.state(slot).items():
                for part, given in zip(parts, state[name], strict=True):
                    part.copy_(given)
            if orders is not None:
                self.orders(slot).copy_(orders)
        if orders is None:
            epoch = self.members[slot].record.n_epochs
            self._undrawn += [(slot, epoch), (slot, epoch + 1)]

    def begin(self) -> None:
        """Start every member at the position of its record."""
        records = [member.record for member in self.members]
        counted = [(r.n_steps, r.n_epochs, r.best.step, r.best.value, r.best_loss) for r in records]
        with torch.no_grad(), self._program.on_stream():
            found = torch.tensor(counted, dtype=torch.float64).to(self._device).unbind(dim=1)
            counters = (
                self._steps,
                self._epochs,
                self._best_epochs,
                self._best,
                self._best_losses,
            )
            for counter, column in zip(counters, found, strict=True):
                counter.copy_(column)
            self._draw_orders(self._undrawn)
            for copies, values in zip(self._copies, self._values, strict=True):
                if copies is not None:
                    copies.copy_(values)
        for slot, record in enumerate(records):
            self._ends.setdefault(-record.n_steps % self._n_batches, []).append(slot)
        self._n_ended = [record.n_epochs for record in records]
        self._starts = [record.n_steps for record in records]
        # The engine of one run may have stopped after an epoch's last step, before validation.
        is_owed = [r.n_steps == (r.n_epochs + 1) * self._n_batches for r in records]
        if owed := [slot for slot, owes in enumerate(is_owed) if owes]:
            with torch.no_grad(), self._program.on_stream():
                self._end_epoch(owed)
        self._program.join()

    def flat(self, slot: int, tensors: Mapping[str, torch.Tensor]) -> State:
        """Move a member's flat tensors to the device and cut them for `enter`."""
        shapes = [part.shape for part in self.state(slot)[VALUES]]
        with self._program.on_stream():  # so that their memory is not reused before `enter` is done
            moved = {name: tensor.to(self._device) for name, tensor in tensors.items()}
        return {name: split(tensor, shapes) for name, tensor in moved.items()}

    def state(self, slot: int) -> State:
        """Views of a member's tensors."""
        optimizer = self._optimizer
        buffers = (self._values, self._best_values, optimizer.mean, optimizer.mean_square)
        return {
            name: self._networks.cut(found, slot)
            for name, found in zip(STATE, buffers, strict=True)
        }

    def orders(self, slot: int) -> torch.Tensor:
        """The orders of rows in a member's current and next epoch, even epochs first: (2, n)."""
        return self._orders[:, slot]

    def __str__(self) -> str:
        """The number of runs, and the share of padding among the parameters."""
        own = sum(
            part.numel() for slot in range(len(self.members)) for part in self.state(slot)[VALUES]
        )
        padding = 1 - own / sum(values.numel() for values in self._values)
        return (
            f"{len(self.members)} runs, {self.key.precision}, "
            f"batches of {self.key.batch_size}: {padding:.0%} padding"
        )

    def step(self) -> None:
        """Update every member, and handle those that end an epoch."""
        with torch.no_grad(), self._program.on_stream():
            self._program.run(self._step)
            self._n_steps += 1
            if ended := self._ends.get(self._n_steps % self._n_batches):
                self._end_epoch(ended)

    def read(self) -> dict[int, list[Measurement]]:
        """Wait for the device and add the measurements to the records; returns them by slot."""
        with torch.no_grad(), self._program.on_stream():
            if self._pending:
                self._end_pending()
            found = torch.stack([each for _, each in self._log]).tolist() if self._log else []
        measured: dict[int, list[Measurement]] = {}
        for (slots, _), (values, losses, is_finite) in zip(self._log, found, strict=True):
            for slot in slots:
                record = self.members[slot].record
                if not record.is_over:
                    is_sound = bool(is_finite[slot])
                    noted = record.add_epoch(values[slot], losses[slot], is_finite=is_sound)
                    measured.setdefault(slot, []).extend([noted] if noted else [])
        for slot, start in enumerate(self._starts):
            record = self.members[slot].record
            n_steps = record.n_epochs * self._n_batches
            record.n_steps = n_steps if record.is_over else start + self._n_steps
        self._log.clear()
        return measured

    def _gradient(self) -> Gradient:
        """The gradient of the members' loss, each with its own exponent of the focal loss."""
        gammas = [member.run.config.training.focal_gamma for member in self.members]
        gamma = torch.tensor(gammas, dtype=self._master, device=self._device)[:, None, None]
        task, quantile = self._loader.data.task, self.key.objective.quantile
        return loss_gradient(self.key.loss, task, quantile=quantile, focal_gamma=gamma)

    def _make_buffers(self) -> None:
        blocks, device = self._networks.blocks, self._device
        self._values, self._best_values, self._aside = (
            [block.zeros(self._master, device) for block in blocks] for _ in range(3)
        )
        self._types = [self._master if block.is_master else self._working for block in blocks]
        self._gradients = [
            block.zeros(dtype, device) for block, dtype in zip(blocks, self._types, strict=True)
        ]
        self._copies = [
            None if dtype == self._master else block.zeros(dtype, device)
            for block, dtype in zip(blocks, self._types, strict=True)
        ]
        pairs = zip(self._values, self._copies, strict=True)
        working = [values if copies is None else copies for values, copies in pairs]
        self._networks.bind(working, self._gradients)

    def _make_counters(self) -> None:
        n, device = len(self.members), self._device
        n_rows = len(self._loader.x_train)
        self._slots = torch.arange(n, device=device)
        self._rows = torch.arange(min(self.key.batch_size, n_rows), device=device)
        self._orders = torch.zeros(2, n, n_rows, dtype=torch.int32, device=device)
        self._steps, self._epochs = torch.zeros_like(self._slots), torch.zeros_like(self._slots)
        self._best_epochs = torch.zeros_like(self._slots)
        self._best = torch.zeros(n, dtype=torch.float64, device=device)
        self._best_losses = torch.zeros_like(self._best)
        self._has_diverged = torch.zeros(n, dtype=torch.bool, device=device)
        training = [member.run.config.training for member in self.members]
        patience = [each.patience or each.max_epochs for each in training]
        self._patience = torch.tensor(patience, device=device)
        self._max_epochs = torch.tensor([each.max_epochs for each in training], device=device)
        smoothing = [each.label_smoothing for each in training]
        self._smoothing = torch.tensor(smoothing, dtype=self._master, device=device)[:, None]
        self._is_smoothed = any(smoothing)

    def _forget(self) -> None:
        """Reset the state after the rehearsal; `begin` sets the counters."""
        self._has_diverged.zero_()
        self._n_steps = 0
        self._ends: dict[int, list[int]] = {}
        self._n_ended = []
        self._starts = []
        self._undrawn: list[tuple[int, int]] = []
        self._pending: list[int] = []
        self._log: list[tuple[list[int], torch.Tensor]] = []

    def _step(self) -> None:
        functions = self._program.functions
        self._networks.run(*self._batch(), self._steps, functions.apply_dropout, functions.keys)
        self._optimizer.step(
            self._values,
            self._copies,
            self._gradients,
            self._steps,
            functions.update,
            functions.scales,
        )
        self._steps.add_(1)

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Each member's next batch; rows beyond the end of its epoch have weight 0."""
        n_rows, n = len(self._loader.x_train), len(self.members)
        epochs, batches = self._steps // self._n_batches, self._steps % self._n_batches
        rows = batches[:, None] * self.key.batch_size + self._rows
        is_row = rows < n_rows
        places = (epochs % 2 * n + self._slots)[:, None] * n_rows + rows.clamp(max=n_rows - 1)
        index = self._orders.view(-1).index_select(0, places.view(-1))
        x = self._loader.x_train.index_select(0, index).view(*rows.shape, -1)
        y = self._targets.index_select(0, index).view(rows.shape)
        if self._is_smoothed:
            y = smoothed(y, self._loader.data.n_outputs, self._smoothing, self._master)
        weights = is_row.to(self._master) / is_row.sum(dim=1, keepdim=True)
        if self._loader.w_train is not None:
            weights *= self._loader.w_train.index_select(0, index).view(rows.shape)
        return x, y, weights[..., None]

    def _end_epoch(self, ended: list[int]) -> None:
        """Copy the parameters of these slots aside; validate once all slots have a copy."""
        if not set(self._pending).isdisjoint(ended):
            self._end_pending()
        index = self._index(ended)
        for aside, values in zip(self._aside, self._values, strict=True):
            own = index[: sum(slot < len(values) for slot in ended)]  # slots are in order
            aside.index_copy_(0, own, values.index_select(0, own))
        for slot in ended:
            self._n_ended[slot] += 1
        self._pending += ended
        if len(self._pending) == len(self.members):
            self._end_pending()

    def _end_pending(self) -> None:
        """Validate the copies, and draw the orders of the epochs after the next."""
        pending, self._pending = self._pending, []
        is_pending = torch.zeros_like(self._has_diverged)
        is_pending.index_fill_(0, self._index(pending), value=True)
        found = self._validate()
        values, losses, is_finite = found.unbind()
        self._note_best(is_pending, values, losses, is_finite > 0)
        self._log.append((pending, found))
        self._draw_orders([(slot, self._n_ended[slot] + 1) for slot in pending])

    def _validate(self) -> torch.Tensor:
        """Metric, loss and whether all outputs are finite, of the copies: float64 (3, slots)."""
        values = [a.to(dtype) for a, dtype in zip(self._aside, self._types, strict=True)]
        logits = self._networks.outputs(values, self._loader.validation_blocks())

        def measured(own: torch.Tensor) -> torch.Tensor:
            return measure_validation([(self._loader, own)], self.key.objective, self.key.link)

        if find_metric(self.key.objective.metric).own is None:
            found = torch.vmap(measured, chunk_size=METRIC_SLOTS)(logits)
        else:
            found = torch.stack([measured(own) for own in logits])
        is_finite = logits.isfinite().flatten(1).all(dim=1).double()
        return torch.cat([found.t(), is_finite[None]])

    def _note_best(
        self,
        is_pending: torch.Tensor,
        values: torch.Tensor,
        losses: torch.Tensor,
        is_finite: torch.Tensor,
    ) -> None:
        """Keep the copies that are the best so far, by the rules of `Record.add_epoch`."""
        is_over = self._has_diverged | (self._epochs - self._best_epochs >= self._patience)
        is_over |= self._epochs >= self._max_epochs
        gain = find_metric(self.key.objective.metric).direction.sign * (self._best - values)
        is_lower = (losses < self._best_losses) | self._best_losses.isnan()
        is_gain = (self._best_epochs == 0) | (gain > 0) | ((gain == 0) & is_lower)
        is_sound = is_finite & values.isfinite()
        is_best = is_pending & ~is_over & is_sound & is_gain
        self._has_diverged |= is_pending & ~is_sound
        self._epochs += is_pending
        self._best.copy_(torch.where(is_best, values, self._best))
        self._best_losses.copy_(torch.where(is_best, losses, self._best_losses))
        self._best_epochs.copy_(torch.where(is_best, self._epochs, self._best_epochs))
        for best, aside in zip(self._best_values, self._aside, strict=True):
            best.copy_(torch.where(is_best[: len(best), None], aside, best))

    def _draw_orders(self, epochs: Sequence[tuple[int, int]]) -> None:
        """Draw the order of rows for epochs given as (slot, epoch)."""
        if not epochs:
            return
        n = len(self.members)
        seeds = [self.members[slot].run.config.training.seed for slot, _ in epochs]
        numbers = [epoch for _, epoch in epochs]
        drawn = permutations(
            list(zip(seeds, numbers, strict=True)), len(self._loader.x_train), self._device
        )
        places = self._index([epoch % 2 * n + slot for slot, epoch in epochs])
        self._orders.view(2 * n, -1).index_copy_(0, places, drawn.to(torch.int32))

    def _index(self, slots: Sequence[int]) -> torch.Tensor:
        return torch.tensor(slots).to(self._device, non_blocking=True)
