"""Benchmarks.

    scripts/bench throughput | overhead | quality | storage | scale | soak | faults | bad-input
                  | wide | ensembles | calibration | losses | digests | packed | pruned
                  | validation | weights | gpu

Each has --help. Results are comparable only within one run.
"""

import importlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BENCHES = (
    "throughput",
    "overhead",
    "quality",
    "storage",
    "scale",
    "soak",
    "faults",
    "bad-input",
    "wide",
    "ensembles",
    "calibration",
    "losses",
    "packed",
    "pruned",
    "validation",
    "weights",
    "digests",
    "gpu",
)


def machine() -> str:
    """The processor's name and how many of its cores this process may use."""
    cores = len(os.sched_getaffinity(0))
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line for line in lines if line.startswith("model name")).partition(": ")[2]
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {cores} cores, Linux {platform.release()}"


def versions() -> Iterator[str]:
    """Versions of the installed packages that matter here."""
    for name in ("torch", "optuna", "sqlalchemy", "rtdl_num_embeddings", "catboost", "lightgbm"):
        with suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHES:
        sys.exit(__doc__)
    sys.stdout.reconfigure(line_buffering=True)  # an interrupted run has printed its results
    print(f"{machine()}; {', '.join(versions())}")
    importlib.import_module(f"benches.{sys.argv[1].replace('-', '_')}").main(sys.argv[2:])
