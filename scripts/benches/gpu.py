"""All that wants a GPU, for one short lease of one: `packed`, and the tests that need one.

The most telling row of `packed` comes first, then the tests, then all its rows; each is printed as
soon as it is known, so that little is lost when time is up.

Needs torch, pytest and hypothesis alone.
"""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

import torch
from benches import packed

TESTS = Path(__file__).parents[2] / "tests/training"
GRACE_SECONDS = 20.0


def main(arguments: list[str]) -> None:
    """Run all; what `packed` takes may be given."""
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=__doc__)
    parser.add_argument("--test-seconds", type=float, default=240.0, help="at most, for the tests")
    options, rest = parser.parse_known_args(arguments)
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here: torch.cuda.is_available() is False")
    packed.main(["--widths", "256", "--packs", "64", *rest])
    code = tested(options.test_seconds)
    print("tests: passed" if code == 0 else "tests: FAILED, see above")
    packed.main(rest)
    sys.exit(code)


def tested(seconds: float) -> int:
    """Run the tests on the GPU; where they take too long, what failed by then is shown."""
    # What else the project needs, its plugins of pytest too, may be missing on such a machine.
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    # What another version of torch warns of is no failure here.
    settings = ["-o", "addopts=", "-o", "filterwarnings=default", "--tb=short", "--durations=5"]
    # Those that need a GPU have it in their names.
    options = ["--continue-on-collection-errors", *settings, "-k", "cuda or gpu", str(TESTS)]
    process = subprocess.Popen([*command, *options])
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        print(f"tests: stopped after {seconds:.0f} s")
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(GRACE_SECONDS) or 1
    except subprocess.TimeoutExpired:
        process.kill()
        return 1
