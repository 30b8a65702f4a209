"""Bad input: drawn and mutated study files, search spaces, tables, model files and HTTP requests.

Each input is used as a command or the dashboard uses it. It must be accepted, or refused with a
sentence and exit code 2, or with an HTTP status from 400 to 499. The benchmark counts how inputs
end, and prints each failure with its seed: another exception, a traceback, an internal error, a
secret in a message, more than five seconds of processor time. `--seed` with `--n 1` repeats one.
"""

import argparse
import logging
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

from tests.support.bad_input import files, requests
from tests.support.bad_input.trying import Kind, run
from tests.support.databases import keep_tables

KINDS: dict[str, Kind] = {
    "study": files.studies,
    "search-space": files.search_spaces,
    "configuration": files.configurations,
    "table": files.tables,
    "model": files.model_files,
    "request": requests.requests,
}
MAX_BYTES = 16 << 30
"""Of address space: an input that asks for more fails, and the machine does not."""


def main(arguments: list[str]) -> None:
    """Try inputs of each kind, and print how they ended."""
    parser = argparse.ArgumentParser(prog="scripts/bench bad-input", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--n", type=int, default=10_000, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the first input")
    options = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    keep_tables()
    n_failures = 0
    for name in options.kinds:
        start = time.process_time()
        with tempfile.TemporaryDirectory(prefix="hpo-bad-input-") as folder:
            seeds = range(options.seed, options.seed + options.n)
            tally = run(KINDS[name], seeds, Path(folder))
        ends = ", ".join(f"{n:,} {end}" for end, n in tally.ends.most_common())
        seconds = time.process_time() - start
        print(f"{name}: {options.n:,} inputs in {seconds:.0f} CPU seconds: {ends or 'none ended'}")
        print("".join(f"  {text}\n" for text in tally.failures), end="")
        n_failures += len(tally.failures)
    print(f"{n_failures:,} failures")
    sys.exit(1 if n_failures else 0)
