"""The engine that trains many runs at once, in packs.

Runs with folds, runs whose model family has no packs, and runs whose data are too large to stay on
the device are trained one by one, in turn, by `hpo.training.single`, which streams such data.

Runs come and go between slices. Runs with equal `PackKey` form a pack, which is rebuilt when a run
comes or goes; the others keep their tensors. All packs make a step in turn. Results equal those of
the engine of one run up to rounding.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakSet

import torch

from hpo.config.errors import MetricError, first_line
from hpo.config.trial import resolve_loss
from hpo.training.batches import Loaders, TrainingData
from hpo.training.checkpoint import BEST_VALUES, Checkpoint
from hpo.training.families.family import family_of
from hpo.training.memory import free_memory, is_out_of_memory, leave_room
from hpo.training.packs.pack import Pack, PackKey
from hpo.training.packs.run import PackedRun, State, joined
from hpo.training.record import Result
from hpo.training.single import SingleTrainer
from hpo.training.targets import link_of
from hpo.training.trainer import Event, Failed, Finished, Progress, Run, Unplaced

log = logging.getLogger(__name__)

GROWTH = 2
"""Largest factor between a round's steps and the longest round since packs were rebuilt."""
ROUND_SECONDS = 1.0
"""The longest round."""


@dataclass(kw_only=True, eq=False)
class _Slot:
    """A slot of a pack."""

    pack: Pack
    index: int

    def state(self) -> State:
        """Views of the member's tensors."""
        return self.pack.state(self.index)


class PackedTrainer:
    """Trains up to `slots` runs at a time."""

    def __init__(self, device: torch.device | str, slots: int) -> None:
        """Bind a device, such as `cpu` or `cuda:0`."""
        self.device = torch.device(device)
        self._n_slots = slots
        self._members: dict[int, PackedRun] = {}
        self._places: dict[int, _Slot] = {}
        self._packs: dict[PackKey, Pack] = {}
        self._vacant: set[PackKey] = set()
        self._streamed: WeakSet[TrainingData] = WeakSet()
        self._loaders = Loaders(self.device)
        self._round = 1
        self._step_seconds = 0.0
        self._in_turn = SingleTrainer(device, slots, self._loaders)

    def admit(self, run: Run, checkpoint: Checkpoint | None = None) -> bool:
        """Take a run, from a checkpoint if given; False if all slots are taken.

        Raises:
            ValueError: the checkpoint is of another run.
        """
        if len(self._members) + self._in_turn.n_runs >= self._n_slots:
            return False
        if not self._is_packed(run):
            return self._in_turn.admit(run, checkpoint)
        if checkpoint is not None:
            checkpoint.check(run.config, run.data)
        self._members[run.key] = PackedRun.of(run, checkpoint, self.device)
        return True

    def advance(self, max_seconds: float) -> list[Event]:
        """Train for about `max_seconds`; returns what happened, in order.

        Steps are made in rounds, and the host waits for the device after each. Rounds grow until a
        slice is one round. A run without a pack gets as much time as all packs together.
        """
        deadline = time.perf_counter() + max_seconds
        n_alone = self._in_turn.n_runs
        events = self._in_turn.advance(max_seconds * n_alone / (n_alone + bool(self._members) or 1))
        events += self._settle()
        while self._places:
            start = time.perf_counter()
            n_steps = self._n_steps(deadline - start)
            events += self._run(n_steps)
            now = time.perf_counter()
            for key in self._places:
                self._members[key].record.seconds += now - start
            self._round = max(self._round, n_steps)
            self._step_seconds = (now - start) / n_steps
            finished = self._finished()
            events += finished
            if finished or now >= deadline:
                break
        return events

    def checkpoint(self, key: int) -> Checkpoint | None:
        """The state of a run; None if it is not here or has made no step."""
        if (member := self._members.get(key)) is None:
            return self._in_turn.checkpoint(key)
        if (place := self._places.get(key)) is None:
            return member.start
        return member.checkpoint(place.state(), self.device)

    def finish(self, key: int) -> Result | None:
        """End a run early; None if it is not here or has finished no epoch."""
        if key not in self._members:
            return self._in_turn.finish(key)
        if key not in self._places or not self._members[key].record.best.step:
            return None
        result = self._result(key)
        self.evict(key)
        return result

    def evict(self, key: int) -> None:
        """Drop a run without a result."""
        self._in_turn.evict(key)
        self._members.pop(key, None)
        if (place := self._places.pop(key, None)) is None:
            return
        if all(other.pack is not place.pack for other in self._places.values()):
            del self._packs[place.pack.key]
        else:
            self._vacant.add(place.pack.key)

    def describe(self) -> list[str]:
        """A line for each pack: its size and the share of padding; one for runs in turn."""
        n_alone = self._in_turn.n_runs
        alone = [f"{n_alone} runs in turn, without packs"]
        return [*map(str, self._packs.values()), *(alone if n_alone else [])]

    def _is_packed(self, run: Run) -> bool:
        """Whether a run trains in a pack."""
        if len(run.data.folds) > 1 or family_of(run.config.model).packing is None:
            return False
        (data,) = run.data.folds
        if self._loaders.can_stay(data):
            return True
        if data not in self._streamed:
            self._streamed.add(data)
            log.warning(
                "a table of %.1f GiB is too large to stay on %s: its rows are streamed, and its "
                "trials train one by one",
                data.n_bytes / 2**30,
                self.device,
            )
        return False

    def _settle(self) -> list[Event]:
        """Rebuild the packs that runs have entered or left."""
        events: list[Event] = []
        newcomers: dict[PackKey, list[PackedRun]] = defaultdict(list)
        for member in [m for key, m in self._members.items() if key not in self._places]:
            try:
                newcomers[self._pack_key(member)].append(member)
            except RuntimeError as error:
                events += self._refused([member], error)
        for key in {**newcomers, **dict.fromkeys(self._vacant)}:
            if key in newcomers or key in self._packs:
                events += self._repack(key, newcomers[key])
        if newcomers or self._vacant:
            leave_room(self.device)
        self._vacant.clear()
        self._loaders.forget()
        return events

    def _pack_key(self, member: PackedRun) -> PackKey:
        """The key of the member's pack; moves its data to the device."""
        (data,), config = member.run.data.folds, member.run.config
        packing = family_of(config.model).packing
        assert packing is not None
        (loader,) = self._loaders.of(data, is_resident=True)
        return PackKey(
            packing=packing,
            loader=loader,
            batch_size=config.training.batch_size,
            loss=resolve_loss(config.training.loss, data.task, config.objective.metric),
            link=link_of(config.training, data.task),
            objective=config.objective,
            precision=member.record.precision,
            size=packing.key(config.model, data.inputs),
        )

    def _repack(self, pack_key: PackKey, newcomers: list[PackedRun]) -> list[Event]:
        """Rebuild a pack of its members and of as many newcomers as fit in memory."""
        events: list[Event] = []
        old = self._packs.get(pack_key)
        residents = [self._members[key] for key, place in self._places.items() if place.pack is old]
        while newcomers or (residents and pack_key in self._vacant):
            try:
                self._replace(pack_key, [*residents, *newcomers])
                break
            except (RuntimeError, MetricError) as error:
                n_fewer = len(newcomers) // 2
                refused, newcomers = newcomers[n_fewer:], newcomers[:n_fewer]
                events += self._refused(refused, error)
            free_memory(self.device)
            if not refused:
                break  # the old pack stays
        return events

    def _replace(self, pack_key: PackKey, members: Sequence[PackedRun]) -> None:
        """Replace a pack by a new one; both must fit in memory."""
        pack = Pack(pack_key, members)
        for slot, member in enumerate(pack.members):
            if place := self._places.get(member.run.key):
                pack.enter(slot, place.state(), place.pack.orders(place.index))
            else:
                pack.enter(slot, pack.flat(slot, member.tensors()))
        pack.begin()
        self._packs[pack_key] = pack
        self._round, self._step_seconds = 1, 0.0
        for slot, member in enumerate(pack.members):
            self._places[member.run.key] = _Slot(pack=pack, index=slot)
            member.start = None

    def _refused(self, members: Sequence[PackedRun], error: Exception) -> list[Event]:
        """Turn away members that do not fit in memory; a member that is alone has failed.

        All have failed if the code of their metric did.

        Raises:
            RuntimeError: the error is another one.
        """
        if isinstance(error, MetricError):
            for member in members:
                self.evict(member.run.key)
            return [Failed(key=member.run.key, reason=str(error)) for member in members]
        if not is_out_of_memory(error):
            raise error
        is_alone = len(members) == 1 and not self._places
        events: list[Event] = []
        for member in members:
            key = member.run.key
            reason = f"out of memory: {first_line(error)}"
            events.append(Failed(key=key, reason=reason) if is_alone else Unplaced(key=key))
            self.evict(key)
        return events

    def _n_steps(self, seconds: float) -> int:
        """Number of steps of a round of at most `seconds`."""
        if not self._step_seconds:
            return 1
        wanted = min(seconds, ROUND_SECONDS) / self._step_seconds
        return max(1, min(int(wanted), GROWTH * self._round))

    def _run(self, n_steps: int) -> list[Event]:
        """Make a round of steps in every pack; returns what was measured."""
        events: list[Event] = []
        for _ in range(n_steps):
            for pack in list(self._packs.values()):
                events += self._attempted(pack, _step)
        for pack in list(self._packs.values()):
            events += self._attempted(pack, self._progress)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return events

    def _progress(self, pack: Pack) -> list[Event]:
        """Read the measurements of a pack's members in a round."""
        events: list[Event] = []
        for slot, measurements in pack.read().items():
            key = pack.members[slot].run.key
            place = self._places.get(key)
            if measurements and place is not None and place.pack is pack:
                events.append(Progress(key=key, measurements=tuple(measurements)))
        return events

    def _attempted(self, pack: Pack, action: Callable[[Pack], list[Event]]) -> list[Event]:
        """Run an action on a pack; if memory runs out, its members leave.

        The step was rehearsed, so this happens only when other processes take memory.
        """
        try:
            return action(pack)
        except (RuntimeError, MetricError) as error:
            members = [self._members[k] for k, place in self._places.items() if place.pack is pack]
            for member in members:
                del self._places[member.run.key]
            del self._packs[pack.key]
            return self._refused(members, error)

    def _finished(self) -> list[Event]:
        """The results of the runs that are over; they leave."""
        events: list[Event] = []
        for key in [key for key in self._places if self._members[key].record.is_over]:
            events.append(Finished(key=key, result=self._result(key)))
            self.evict(key)
        return events

    def _result(self, key: int) -> Result:
        place = self._places[key]
        best_values = joined(place.state()[BEST_VALUES])
        return self._members[key].record.result([(place.pack.key.loader, best_values)])


def _step(pack: Pack) -> list[Event]:
    pack.step()
    return []
