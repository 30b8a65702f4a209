"""Faults in the middle of commands, one after the other, each in a fresh copy of a study."""

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.faults.commands import COMMANDS, Fault, harm, kill, undisturbed
from tests.support.faults.snapshot import Snapshot
from tests.support.faults.template import copy_template, make_template
from tests.support.servers import Server
from tests.support.small_disk import SmallDisk


@dataclass(kw_only=True)
class Harms:
    """What became of commands under faults.

    Attributes:
        faults: that came before the end of their command, by command and kind.
        n_late: faults that came too late.
        losses: a sentence for each difference from an undisturbed run, with command, kind and step.
    """

    faults: Counter[str] = field(default_factory=Counter)
    n_late: int = 0
    losses: list[str] = field(default_factory=list)


def harm_commands(
    folder: Path,
    *,
    seed: int,
    n: int,
    names: list[str] | None = None,
    server: Server | None = None,
    disk: SmallDisk | None = None,
) -> Harms:
    """Hit commands with faults at random steps.

    Args:
        folder: an empty folder.
        seed: of the schedule: each command once with each kind of fault, shuffled, and so on.
        n: number of faults.
        names: of the commands; all of them by default.
        server: holds the storage and is stopped; SQLite without one.
        disk: holds all files and is filled.
    """
    generator = random.Random(seed)
    template = folder / "template"
    template.mkdir()
    make_template(template)
    known: dict[str, tuple[Snapshot, int]] = {}
    harms = Harms()
    schedule = _schedule(generator, names or list(COMMANDS), server, disk)
    for name, kind, fault, mend in (next(schedule) for _ in range(n)):
        root = folder if disk is None else disk.folder
        if name not in known:
            known[name] = _expect(name, template, root, server)
        expected, n_steps = known[name]
        step = generator.randint(1, n_steps)
        with tempfile.TemporaryDirectory(dir=root) as own:
            place = copy_template(template, Path(own), is_old="upgrade" in name, server=server)
            found = harm(COMMANDS[name], place, expected, step=step, fault=fault, mend=mend)
        if found.was_hit:
            harms.faults[f"{name}, {kind}"] += 1
        else:
            harms.n_late += 1
        harms.losses += [f"{name}, {kind} at step {step}: {what}" for what in found.losses]
    shutil.rmtree(template)
    return harms


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
    generator: random.Random, names: list[str], server: Server | None, disk: SmallDisk | None
) -> Iterator[tuple[str, str, Fault, Callable[[], None]]]:
    """Endless faults: the command, the kind of fault, the fault, and what mends it."""
    kinds: dict[str, tuple[Fault, Callable[[], None]]] = {"killed": (kill, lambda: None)}
    if server is not None:
        kinds["database gone"] = (lambda _: server.stop(), server.start)
    if disk is not None:
        kinds["full disk"] = (lambda _: disk.fill(), disk.free)
    every = [(name, kind, *what) for name in names for kind, what in kinds.items()]
    while True:
        yield from generator.sample(every, len(every))
