"""Everything that needs a GPU: `packed`, and the tests for GPUs.

The most important rows of `packed` come first, then the tests, then all rows. Results are printed
at once, so that little is lost if the time on the GPU ends.

Needs only torch, pytest and hypothesis.
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
    """Run everything; takes the options of `packed`."""
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=__doc__)
    parser.add_argument("--test-seconds", type=float, default=240.0, help="time limit of the tests")
    options, rest = parser.parse_known_args(arguments)
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here: torch.cuda.is_available() is False")
    first = ["--widths", "256", "--packs", "64", "--shapes", "3x256", "--slots", "32"]
    packed.main([*first, *rest])
    code = tested(options.test_seconds)
    print("tests: passed" if code == 0 else "tests: FAILED, see above")
    packed.main(rest)
    sys.exit(code)


def tested(seconds: float) -> int:
    """Run the tests on the GPU; after the time limit, show the failures so far."""
    # Other dependencies, including pytest plugins, may be missing on such a machine.
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    # Warnings of another torch version are not failures.
    settings = ["-o", "addopts=", "-o", "filterwarnings=default", "--tb=short", "--durations=5"]
    # The names of tests for GPUs contain cuda or gpu.
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
