"""One worker process, as `hpo.worker.supervisor` starts it: `python -m hpo.worker [NAME...]`.

The URLs of storage and artifact store are passed by the environment, so that no password shows in a
process list.
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
from collections.abc import Callable
from types import FrameType

import torch

from hpo.config.errors import ArtifactError, HpoError, StorageUnavailableError
from hpo.files.store import ArtifactStore
from hpo.models.experiment import load_experiment
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import open_study
from hpo.study.fleet import Fleet
from hpo.study.study import Study
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.precision import describe_environment
from hpo.training.single import SingleTrainer
from hpo.training.sizing import best_slots
from hpo.training.trainer import Trainer
from hpo.worker.claims import first_study_first
from hpo.worker.loop import Worker
from hpo.worker.outage import Outage
from hpo.worker.quota import Quota
from hpo.worker.supervisor import CRASHED, EXIT_RELEASED, GRACE_SECONDS
from hpo.worker.timing import Timing

_POLL_SECONDS = 0.2
log = logging.getLogger("hpo.worker")

LEAVE_SECONDS = 12.0
"""How long after a stop a slice of training may go on: enough to write checkpoints, and less than
supervisors and schedulers wait."""
_SWITCH_SECONDS = 0.0005
"""Interpreter switch interval: the training thread waits at most this long for the thread that
talks to the storage. Each torch operation may wait, so Python's default of 5 ms is too long."""


def main() -> int:
    """Work, and return the exit code."""
    options = _parse()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("hpo").setLevel(logging.INFO)  # not the root: drivers log a lot
    stop = StopSignal()
    if options.lifeline:
        stop.watch_parent()
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
    parser.add_argument("--slots", default="1", help="trials in training at once, or auto")
    parser.add_argument("--lease", type=float, default=60.0)
    parser.add_argument("--checkpoint-interval", type=float, default=60.0)
    parser.add_argument("--storage-timeout", type=float, default=600.0)
    parser.add_argument("--hang-timeout", type=float, default=600.0)
    parser.add_argument("--deadline", type=float, default=math.inf, help="Unix time")
    parser.add_argument("--quota", type=int, nargs=2, help="two file descriptors")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    return parser.parse_args()


def _work(options: argparse.Namespace, stop: "StopSignal") -> int:
    deadline = time.monotonic() + options.deadline - time.time()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    sys.setswitchinterval(_SWITCH_SECONDS)
    device = _device(options.device)
    storage, store, named = _open(options.names, patience=options.storage_timeout)
    for study in named:
        study.check_store(store.id)
    stop.install(store.hurry)
    fleet = Fleet(storage, store.id)
    if options.slots == "auto":
        n_slots = _best_slots(named or fleet.studies(), store, torch.device(device))
    else:
        n_slots = int(options.slots)
    # Only the trainer for one trial at a time is reproducible to the bit.
    trainer: Trainer
    trainer = SingleTrainer(device) if n_slots == 1 else PackedTrainer(device, n_slots)
    worker = Worker(
        studies=(lambda: named) if named else fleet.studies,
        storage=storage,
        shares=first_study_first if named else fleet.shares,
        store=store,
        trainer=trainer,
        slots=n_slots,
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
        quota=Quota(options.quota),
        deadline=deadline,
        until_finished=bool(named),
    )
    watch = threading.Thread(target=_leave_slice, args=(worker, stop.event), daemon=True)
    watch.start()
    return 0 if worker.work(stop.event) else EXIT_RELEASED


def _leave_slice(worker: Worker, stop: threading.Event) -> None:
    """End the process if a slice of training outlasts a stop."""
    stop.wait()
    time.sleep(LEAVE_SECONDS)
    if worker.abandon_slice():
        os._exit(EXIT_RELEASED)


def _open(names: list[str], patience: float) -> tuple[Storage, ArtifactStore, list[Study]]:
    """Open storage, store and studies; retry while they are unavailable."""
    outage = Outage(StorageUnavailableError, ArtifactError, patience=patience)
    found = None
    while found is None:
        with outage.tolerated():
            storage = open_storage(os.environ["HPO_STORAGE"], create=False)
            store = ArtifactStore(os.environ["HPO_ARTIFACTS"], create=False)
            found = storage, store, [open_study(storage, name) for name in names]
        while not outage.is_due:
            time.sleep(_POLL_SECONDS)
    return found


def _device(name: str) -> str:
    """A torch device. `auto` is the GPU that this process sees, if torch can use it."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    log.info("no GPU that torch can use on %s: training on the CPU", platform.node())
    return "cpu"


def _best_slots(studies: list[Study], store: ArtifactStore, device: torch.device) -> int:
    """The best number of slots, measured with the default trial of the first study."""
    if not studies:
        log.info("--slots 1: there is no study to measure with")
        return 1
    definition = studies[0].definition
    config = definition.trial_config(definition.space.default_params())
    experiment = load_experiment(store, definition.data)
    _, data = experiment.prepared(config.preprocessing)
    n_slots = best_slots(config, data, device)
    log.info("--slots %d, measured with the default trial of %s", n_slots, studies[0].name)
    return n_slots


class StopSignal:
    """Sets an event at SIGTERM, at SIGINT, and when the parent ends or closes its pipe.

    Until `install`, each of them ends the process at once. A second signal always does.
    """

    def __init__(self) -> None:
        """Leave signal handlers as they are."""
        self.event = threading.Event()
        self._hurry: Callable[[], None] | None = None

    def install(self, hurry: Callable[[], None]) -> None:
        """From now on set the event, after `hurry` has shortened what the process waits for."""
        self._hurry = hurry
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def watch_parent(self) -> None:
        """Watch standard input, a pipe that only the parent holds: it ends with the parent."""
        threading.Thread(target=self._wait_for_parent, daemon=True).start()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        # In a thread: the main thread, interrupted here, may hold the event's lock.
        threading.Thread(target=self._set).start()

    def _set(self) -> None:
        if self._hurry:
            self._hurry()
        self.event.set()

    def _wait_for_parent(self) -> None:
        os.read(sys.stdin.fileno(), 1)  # a buffered read holds a lock that blocks the exit
        if not self._hurry:
            os._exit(EXIT_RELEASED)
        self._set()
        time.sleep(GRACE_SECONDS)  # a dead parent cannot kill this process if it hangs
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
