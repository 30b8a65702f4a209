"""The documentation: pages, code blocks and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from hpo.cli import app
from tests.support.paths import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
ENDS_A_COMMAND = {"|", ">", ">>", "&&", ";", "<"}


def name(page: Path) -> str:
    """Path of a page in the repository, such as `docs/tables.md`."""
    return page.relative_to(ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", read(page))


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block.

    Attributes:
        language: of the fence; may be empty.
        where: page and line.
    """

    language: str
    text: str
    where: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """Code blocks of a page in these languages, in order."""
    text = read(page)
    return [
        Block(
            language=found["language"],
            text=found["text"],
            where=f"{name(page)}:{text.count(chr(10), 0, found.start()) + 1}",
        )
        for found in FENCE.finditer(text)
        if found["language"] in languages
    ]


def typed(block: Block) -> Iterator[list[str]]:
    """Commands of a shell block, as words up to the first pipe or redirection."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        ends = [place for place, word in enumerate(words) if word in ENDS_A_COMMAND]
        if words[: min(ends, default=None)]:
            yield words[: min(ends, default=None)]


def leaves(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All commands by name, including those of groups, such as `storage upgrade`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS: dict[str, Any] = dict(leaves(typer.main.get_command(app)))
"""The commands of `hpo`, by name."""


def command_of(words: list[str]) -> str | None:
    """Name of the command that words after `hpo` call; None if there is none."""
    return next((name for name in COMMANDS if words[: len(name.split())] == name.split()), None)


def options(command: Any) -> set[str]:
    """All spellings of a command's options."""
    found = {"-h", "--help"}
    for parameter in command.params:
        found |= {*parameter.opts, *parameter.secondary_opts}
    return found
