"""All that wants a GPU, for one short lease of one: the tests that need one, then `packed`.

Needs torch, pytest and hypothesis alone.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from benches import packed

TESTS = Path(__file__).parents[2] / "tests"


def main(arguments: list[str]) -> None:
    """Run both; what `packed` takes may be given."""
    parser = argparse.ArgumentParser(prog="scripts/bench gpu", description=__doc__)
    _, rest = parser.parse_known_args(arguments)
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here: torch.cuda.is_available() is False")
    tests = sorted(str(path) for path in TESTS.glob("test_training*.py"))
    # What else the project needs, its plugins of pytest too, may be missing on such a machine.
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    # What another version of torch warns of is no failure here.
    settings = ["-o", "addopts=", "-o", "filterwarnings=default"]
    options = ["--continue-on-collection-errors", *settings, *tests]
    tested = subprocess.run([*command, *options], check=False)
    packed.main(rest)
    print("tests: passed" if tested.returncode == 0 else "tests: FAILED, see above")
    sys.exit(tested.returncode)
