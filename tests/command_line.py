"""The command line, called as a user calls it but inside the test's process."""

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from hpo.cli import main


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
    """Run `hpo ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Outcome(code=code, out=out.getvalue(), err=err.getvalue())
