"""The command line, called in this process or in a new one."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import typer

from hpo.cli import main
from hpo.storage import engine

get_command = cache(typer.main.get_command)
"""Typer would build all commands anew for each call."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Output and exit code of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


def hpo(*arguments: object) -> Outcome:
    """Run `hpo ARGUMENTS` in this process, and close the storages that it opened."""
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.ExitStack() as streams:
        streams.enter_context(contextlib.redirect_stdout(out))
        streams.enter_context(contextlib.redirect_stderr(err))
        storage = engine.Storage

        def closed_at_the_end(**fields: Any) -> engine.Storage:
            return streams.enter_context(contextlib.closing(storage(**fields)))

        streams.enter_context(mock.patch.object(engine, "Storage", closed_at_the_end))
        streams.enter_context(mock.patch.object(typer.main, "get_command", get_command))
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Outcome(code=code, out=out.getvalue(), err=err.getvalue())


def run_process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `hpo ARGUMENTS` as a process."""
    command = [sys.executable, "-m", "hpo", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
