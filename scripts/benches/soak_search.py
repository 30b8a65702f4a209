"""The search of a soak, as a process of its own: `hpo run` whose workers train nothing.

    python -m benches.soak_search FOLDER STORAGE

It opens the study as `hpo run` does, watches it with the same panel, and waits for its workers. A
pool of forked processes stands in for the supervisor and its workers.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from benches.records import Recorder
from benches.soak_worker import Pace, work

from hpo.cli.live import watch
from hpo.launch.search import search
from hpo.lifecycle.creation import create_from_file
from hpo.study.artifacts import StudyArtifacts
from hpo.study.study import Study
from tests.support.gate import gather


class CurvePool(AbstractContextManager["CurvePool"]):
    """A pool of workers that train nothing."""

    def __init__(self, n_workers: int, address: Sequence[str], pace: Pace, folder: Path) -> None:
        """Workers of a study; they write their records to a folder."""
        self._n_workers = n_workers
        self._arguments = address, pace, folder
        self._processes: list[ForkServerProcess] = []

    def __enter__(self) -> "CurvePool":
        """Start the workers together."""
        preload = [work.__module__]
        self._processes, gate = gather(self._n_workers, work, *self._arguments, preload=preload)
        gate.open(self._processes)
        return self

    def __exit__(self, *error: object) -> None:
        """Wait for the workers."""
        for process in self._processes:
            process.join()

    def n_alive(self) -> int:
        """How many workers are at work."""
        return sum(process.is_alive() for process in self._processes)

    def exit_code(self) -> int:
        """1 if a worker failed."""
        return int(any(process.exitcode for process in self._processes))


def main() -> None:
    """Search the study until it is finished."""
    parser = argparse.ArgumentParser(prog="benches.soak_search")
    parser.add_argument("study_file", type=Path)
    parser.add_argument("storage")
    parser.add_argument("artifacts")
    parser.add_argument("records", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--epoch-seconds", type=float)
    options = parser.parse_args()
    created = create_from_file(options.study_file, options.storage, options.artifacts)
    artifacts = StudyArtifacts(study=created.study, store=created.store)
    del created  # the table, as in `hpo run`
    study = artifacts.study
    address = options.storage, options.artifacts, study.name
    pace = Pace(n_epochs=options.epochs, epoch_seconds=options.epoch_seconds)
    pool = CurvePool(options.workers, address, pace, options.records)
    with (options.records / "search.csv").open("w") as file, watch(study, options.workers) as view:
        recorder = Recorder(file, "hpo run")
        recorder.watch(Study, "progress", "read the status", lambda status: status.n_ended)
        code = search(artifacts, pool, view.update)
    sys.exit(code)


if __name__ == "__main__":
    main()
