"""Benchmarks: scripts/bench throughput | overhead | quality, each with --help.

They compare within one run, on the machine they run on.
"""

import importlib
import platform
import sys

import torch

BENCHES = ("throughput", "overhead", "quality")

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHES:
        sys.exit(__doc__)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}")
    importlib.import_module(f"benches.{sys.argv[1]}").main(sys.argv[2:])
