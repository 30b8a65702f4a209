"""One worker process, as `hpo.worker.supervisor` starts it: `python -m hpo.worker [NAME...]`.

The storage and artifact URLs come by the environment, so that no password shows in a process list.
"""

import argparse
import logging
import math
import os
import platform
import signal
import sys
import threading
import time
from types import FrameType

import torch

from hpo.artifacts import ArtifactStore
from hpo.catalog import list_studies, open_study
from hpo.errors import HpoError, InputError, StorageUnavailableError
from hpo.storage.engine import Storage, open_storage
from hpo.study import Study, WorkerId
from hpo.training import SingleTrainer, describe_environment
from hpo.worker.loop import Timing, Worker
from hpo.worker.quota import Quota
from hpo.worker.supervisor import CRASHED, RELEASED

log = logging.getLogger("hpo.worker")


def main() -> int:
    """Work, and say how it ended by the exit code."""
    options = _parse()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    stop = threading.Event()
    if options.lifeline:
        threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    try:
        return _work(options, stop)
    except HpoError as error:
        log.error("%s", error)
        return error.exit_code
    except Exception:
        log.exception("the worker crashed")
        return CRASHED


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hpo.worker", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--nonce", default="")
    parser.add_argument("--lease", type=float, default=60.0)
    parser.add_argument("--checkpoint-interval", type=float, default=60.0)
    parser.add_argument("--storage-timeout", type=float, default=600.0)
    parser.add_argument("--hang-timeout", type=float, default=600.0)
    parser.add_argument("--timeout", type=float, default=math.inf)
    parser.add_argument("--quota", help="two file descriptors, such as 5,6")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    return parser.parse_args()


def _work(options: argparse.Namespace, stop: threading.Event) -> int:
    deadline = time.monotonic() + options.timeout
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    storage, store, named = _open(options.names, patience=options.storage_timeout)
    _stop_at_signals(stop)  # until here there is nothing to hand back
    for study in named:
        _check_store(study, store)
    opened: dict[str, Study] = {}

    def open_studies() -> list[Study]:
        """Every unfinished study whose artifacts are in this store."""
        for status in list_studies(storage):
            if status.name not in opened and not status.is_finished:
                opened[status.name] = open_study(storage, status.name)
        return [study for study in opened.values() if study.artifact_store_id == store.id]

    trainer = SingleTrainer(options.device)
    worker = Worker(
        studies=(lambda: named) if named else open_studies,
        store=store,
        trainer=trainer,
        identity=WorkerId(
            host=platform.node(),
            pid=os.getpid(),
            device=describe_environment(trainer.device, "float32").device,
            share=options.share,
            nonce=options.nonce,
        ),
        timing=Timing(
            lease=options.lease,
            checkpoint=options.checkpoint_interval,
            outage=options.storage_timeout,
            hang=options.hang_timeout,
        ),
        quota=Quota(_pipe(options.quota)),
        deadline=deadline,
        until_finished=bool(named),
    )
    ended = worker.work(stop)
    log.debug("time: %s", worker.stopwatch)
    return 0 if ended else RELEASED


def _open(names: list[str], patience: float) -> tuple[Storage, ArtifactStore, list[Study]]:
    """Open what the worker works with; a storage that is out of reach is tried again."""
    give_up = time.monotonic() + patience
    while True:
        left = max(0.0, give_up - time.monotonic())
        storage = open_storage(os.environ["HPO_STORAGE"], create=False, patience=left)
        try:
            named = [open_study(storage, name) for name in names]
            return storage, ArtifactStore(os.environ["HPO_ARTIFACTS"]), named
        except StorageUnavailableError:  # it went away again
            storage.close()
            if not left:
                raise


def _check_store(study: Study, store: ArtifactStore) -> None:
    if study.artifact_store_id != store.id:
        raise InputError(
            f"study {study.name} keeps its artifacts in another store than {store.url}: "
            "name the one it was created with by --artifacts or HPO_ARTIFACTS"
        )


def _pipe(quota: str | None) -> tuple[int, int] | None:
    if quota is None:
        return None
    reader, writer = quota.split(",")
    return int(reader), int(writer)


def _stop_at_signals(stop: threading.Event) -> None:
    """Hand trials back at the first SIGTERM or SIGINT; die at the second."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _stop_with_parent(stop: threading.Event) -> None:
    """Standard input is a pipe that only the parent holds: it ends when the parent does."""
    os.read(sys.stdin.fileno(), 1)  # not by a buffer, whose lock would outlive the interpreter
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
