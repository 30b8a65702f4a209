"""Tries inputs one after the other, counts how they end, and collects failures.

An input fails if it raises anything but an `HpoError` with exit code 2, if the error's message is
not made for people or shows a secret, or if it takes more than five seconds of processor time.
"""

import re
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hpo.config.errors import HpoError, printable

LIMIT_SECONDS = 5.0
MAX_LINE = 10_000
"""Characters of one line of a message; paths and names of columns stand in it as they are."""
SECRET = "topsecret"
"""The password that inputs contain, and no message may."""

Try = Callable[[int], str]
"""Uses the input of a seed, and says in a word or two how that ended."""
Kind = Callable[[Path], AbstractContextManager[Try]]
"""Prepares the trials of one kind of input in an empty folder."""


@dataclass(kw_only=True)
class Tally:
    """Results of many inputs of one kind.

    Attributes:
        ends: how often each end occurred.
        failures: a sentence for each failure, with its seed.
    """

    ends: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def outcome(work: Callable[[], Any], opening: str = "") -> Any:
    """The result of a function, or its `HpoError`, which is checked.

    Args:
        work: the function.
        opening: a regular expression that the beginning of the message must match.
    """
    try:
        return work()
    except HpoError as error:
        refusal = error
    text = str(refusal)
    assert refusal.exit_code == 2, f"exit code {refusal.exit_code}: {text}"
    assert re.match(opening, text), f"does not begin with {opening}: {text[:200]}"
    assert SECRET not in text, f"shows the secret: {text[:500]}"
    longest = max(text.splitlines(), key=len, default="")
    assert 0 < len(longest) <= MAX_LINE, f"a line of {len(longest)} characters: {text[:200]}"
    printable(text).encode()
    return refusal


def run(kind: Kind, seeds: Iterable[int], folder: Path) -> Tally:
    """Try the inputs of some seeds."""
    tally = Tally()
    with kind(folder) as try_one:
        for seed in seeds:
            try:
                with limited(LIMIT_SECONDS):
                    tally.ends[try_one(seed)] += 1
            except Exception as error:
                tally.failures.append(f"seed {seed}: {_sentence(error)}")
    return tally


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in this thread after some seconds of the process's processor time."""

    def stop(_: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"takes more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _sentence(error: Exception) -> str:
    """An error's type, message and the innermost line of the project."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/hpo/" in frame.filename] or list(frames)
    where = f"{own[-1].filename}:{own[-1].lineno}"
    return f"{type(error).__name__} at {where}: {str(error)[:600]}"
