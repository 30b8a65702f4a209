"""Forked processes of tests are like those of a new interpreter."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.forked import Popen
from tests.support.program import PROGRAM

pytestmark = pytest.mark.slow

SHOW = """
import os, sys
print(sys.argv[1:], os.getcwd(), sorted(os.environ.items()), sys.stdin.read())
print(os.getppid(), os.getsid(0) == os.getpid())
os.write(int(sys.argv[2]), b"written")
"""


@pytest.mark.parametrize("new", [True, False], ids=["session", "same"])
def test_a_forked_process_has_all_that_it_was_given(tmp_path: Path, new: bool) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH")}
    shown = []
    for kind in (Popen, Popen.__base__):
        reader, writer = os.pipe()
        with kind(
            [*PROGRAM, SHOW, "a b", str(writer)],
            cwd=tmp_path,
            env={**kept, "LC_ALL": "C.UTF-8", "GIVEN": "ä"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[writer],
            start_new_session=new,
        ) as process:
            out, _ = process.communicate(b"typed")
        os.close(writer)
        with open(reader, "rb") as pipe:
            shown.append((process.returncode, out, pipe.read()))
    assert shown[0] == shown[1]
    assert shown[0][2] == b"written"


def test_a_forked_process_ends_by_its_code_or_a_signal() -> None:
    kill = f"import os; os.kill(os.getpid(), {signal.SIGKILL})"
    for code, expected in (("import sys; sys.exit(3)", 3), (kill, -signal.SIGKILL), ("1 / 0", 1)):
        assert subprocess.run([*PROGRAM, code], stderr=subprocess.DEVNULL).returncode == expected
    with subprocess.Popen([*PROGRAM, "import time; time.sleep(60)"]) as process:
        process.terminate()
    assert process.returncode == -signal.SIGTERM
