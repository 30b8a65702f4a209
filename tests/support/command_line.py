"""The command line, called as a user calls it but inside the test's process."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from hpo.cli import main
from hpo.storage import engine


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command left on its streams, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


def hpo(*arguments: object) -> Outcome:
    """Run `hpo ARGUMENTS`, and close what the end of its process would close."""
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.ExitStack() as streams:
        streams.enter_context(contextlib.redirect_stdout(out))
        streams.enter_context(contextlib.redirect_stderr(err))
        storage = engine.Storage

        def closed_at_the_end(**fields: Any) -> engine.Storage:
            return streams.enter_context(contextlib.closing(storage(**fields)))

        streams.enter_context(mock.patch.object(engine, "Storage", closed_at_the_end))
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Outcome(code=code, out=out.getvalue(), err=err.getvalue())


def run_process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`hpo ARGUMENTS` as a process of its own."""
    command = [sys.executable, "-m", "hpo", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
