"""Faults in the middle of commands, one after the other, each in a fresh copy of a study."""

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.faults.commands import COMMANDS, Fault, harm, kill, undisturbed
from tests.support.faults.snapshot import Snapshot
from tests.support.faults.template import copy_template, make_template
from tests.support.servers import Server
from tests.support.small_disk import SmallDisk


@dataclass(frozen=True, kw_only=True)
class Harm:
    """A command under a fault.

    Attributes:
        name: of the command, and the kind of fault.
        was_hit: whether the fault came before the end of the command.
        losses: a sentence for each difference from an undisturbed run, with the step.
    """

    name: str
    was_hit: bool
    losses: list[str]


def harm_commands(
    folder: Path,
    *,
    seed: int,
    server: Server | None = None,
    disk: SmallDisk | None = None,
) -> Iterator[Harm]:
    """Hit commands with faults at random steps, endlessly.

    Args:
        folder: an empty folder.
        seed: of the schedule: each command once with each kind of fault, shuffled, and so on.
        server: holds the storage and is stopped; SQLite without one.
        disk: holds all files and is filled; only with SQLite, whose database is on it.
    """
    generator = random.Random(seed)
    template = folder / "template"
    template.mkdir()
    make_template(template)
    root = folder if disk is None else disk.folder
    known: dict[str, tuple[Snapshot, int]] = {}
    for name, kind, fault, mend in _schedule(generator, server, disk):
        if name not in known:
            known[name] = _expect(name, template, root, server)
        expected, n_steps = known[name]
        step = generator.randint(1, n_steps)
        with tempfile.TemporaryDirectory(dir=root) as own:
            place = copy_template(template, Path(own), is_old="upgrade" in name, server=server)
            found = harm(COMMANDS[name], place, expected, step=step, fault=fault, mend=mend)
        yield Harm(
            name=f"{name}, {kind}",
            was_hit=found.was_hit,
            losses=[f"{name}, {kind} at step {step}: {what}" for what in found.losses],
        )


def _expect(name: str, template: Path, root: Path, server: Server | None) -> tuple[Snapshot, int]:
    """What a command leaves without a fault, and its number of steps."""
    found = []
    for _ in range(2):  # what differs depends on time
        with tempfile.TemporaryDirectory(dir=root) as own:
            place = copy_template(template, Path(own), is_old="upgrade" in name, server=server)
            found.append(undisturbed(COMMANDS[name], place))
    (first, n_steps), (second, _) = found
    return first.common(second), n_steps


def _schedule(
    generator: random.Random, server: Server | None, disk: SmallDisk | None
) -> Iterator[tuple[str, str, Fault, Callable[[], None]]]:
    """Endless faults: the command, the kind of fault, the fault, and what mends it."""
    kinds: dict[str, tuple[Fault, Callable[[], None]]] = {"killed": (kill, lambda: None)}
    if server is not None:
        kinds["database gone"] = (lambda _: server.stop(), server.start)
    if disk is not None:
        kinds["full disk"] = (lambda _: disk.fill(), disk.free)
    every = [(name, kind, *what) for name in COMMANDS for kind, what in kinds.items()]
    while True:
        yield from generator.sample(every, len(every))
