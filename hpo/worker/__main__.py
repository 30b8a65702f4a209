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
from collections.abc import Callable
from types import FrameType

import torch

from hpo.config.errors import ArtifactError, HpoError, StorageUnavailableError
from hpo.files.store import ArtifactStore
from hpo.storage.engine import Storage, open_storage
from hpo.study.catalog import open_study
from hpo.study.fleet import Fleet
from hpo.study.study import Study, WorkerId
from hpo.training.packs.trainer import PackedTrainer
from hpo.training.precision import describe_environment
from hpo.training.single import SingleTrainer
from hpo.training.sizing import best_slots
from hpo.training.trainer import Trainer
from hpo.worker.claims import all_of_the_first
from hpo.worker.loop import Timing, Worker
from hpo.worker.outage import Outage
from hpo.worker.quota import Quota
from hpo.worker.supervisor import CRASHED, EXIT_RELEASED, GRACE_SECONDS
from hpo.worker.tables import Tables

POLL_SECONDS = 0.2
log = logging.getLogger("hpo.worker")

SWITCH_SECONDS = 0.0005
"""After so long the thread that talks to the storage lets the one that trains go on: each operation
of torch takes turns with it, and Python's own 5 ms would be waited for at every one."""


def main() -> int:
    """Work, and say how it ended by the exit code."""
    options = _parse()
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("hpo").setLevel(logging.INFO)  # drivers are talkative, too
    stop = Stop()
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
    parser.add_argument("--deadline", type=float, default=math.inf, help="in Unix time")
    parser.add_argument("--quota", help="two file descriptors, such as 5,6")
    parser.add_argument("--lifeline", action="store_true", help="stop when standard input ends")
    return parser.parse_args()


def _work(options: argparse.Namespace, stop: "Stop") -> int:
    deadline = time.monotonic() + options.deadline - time.time()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    sys.setswitchinterval(SWITCH_SECONDS)
    device = _device(options.device)
    storage, store, named = _open(options.names, patience=options.storage_timeout)
    for study in named:
        study.check_store(store.id)
    stop.hand_back(store.hurry)
    fleet = Fleet(storage, store.id)
    if options.slots == "auto":
        n_slots = _best_slots(named or fleet.studies(), store, torch.device(device))
    else:
        n_slots = int(options.slots)
    trainer = _trainer(device, n_slots)
    worker = Worker(
        studies=(lambda: named) if named else fleet.studies,
        shares=all_of_the_first if named else fleet.shares,
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
        quota=Quota(_pipe(options.quota)),
        deadline=deadline,
        until_finished=bool(named),
    )
    ended = worker.work(stop.event)
    log.debug("time: %s", worker.stopwatch)
    return 0 if ended else EXIT_RELEASED


def _open(names: list[str], patience: float) -> tuple[Storage, ArtifactStore, list[Study]]:
    """Open what the worker works with; what is out of reach is tried again."""
    outage = Outage(StorageUnavailableError, ArtifactError, patience=patience)
    found = None
    while found is None:
        with outage.ridden_out():
            storage = open_storage(os.environ["HPO_STORAGE"], create=False)
            store = ArtifactStore(os.environ["HPO_ARTIFACTS"], create=False)
            found = storage, store, [open_study(storage, name) for name in names]
        while not outage.is_due:
            time.sleep(POLL_SECONDS)
    return found


def _device(name: str) -> str:
    """The torch device of a name; `auto` is the GPU that this process sees, if torch can use it."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    log.info("no GPU that torch can use on %s: trains on the processor", platform.node())
    return "cpu"


def _trainer(device: str, n_slots: int) -> Trainer:
    """The engine for so many trials at once; the one for a single trial repeats it to the bit."""
    if n_slots == 1:
        return SingleTrainer(device)
    return PackedTrainer(device, n_slots)


def _best_slots(studies: list[Study], store: ArtifactStore, device: torch.device) -> int:
    """How many trials at once suit the device, measured on the first study's default trial."""
    if not studies:
        log.info("--slots 1: there is no study to measure by")
        return 1
    definition, experiment = studies[0].definition, Tables(store)[studies[0]]
    config = definition.trial_config(definition.space.default_params())
    _, data = experiment.prepared(config.preprocessing)
    n_slots = best_slots(config, data, device)
    log.info("--slots %d, measured on the default trial of %s", n_slots, studies[0].name)
    return n_slots


def _pipe(quota: str | None) -> tuple[int, int] | None:
    if quota is None:
        return None
    reader, writer = quota.split(",")
    return int(reader), int(writer)


class Stop:
    """Whether to stop: at SIGTERM, at SIGINT, and when the parent is gone or says so.

    While there is nothing to hand back, each of them ends the process at once, and so does a
    second signal later on.
    """

    def __init__(self) -> None:
        """Leave signals as they are until `hand_back`."""
        self.event = threading.Event()
        self._hurry: Callable[[], None] | None = None

    def hand_back(self, hurry: Callable[[], None]) -> None:
        """From now on, stop by the event; what may hold the process up is told to hurry."""
        self._hurry = hurry
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def watch_parent(self) -> None:
        """Standard input is a pipe that only the parent holds: it ends when the parent does."""
        threading.Thread(target=self._wait_for_parent, daemon=True).start()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        # By a thread: the main one, interrupted here, may hold the lock of the event.
        threading.Thread(target=self._set).start()

    def _set(self) -> None:
        if self._hurry:
            self._hurry()
        self.event.set()

    def _wait_for_parent(self) -> None:
        os.read(sys.stdin.fileno(), 1)  # not by a buffer, whose lock would outlive the interpreter
        if not self._hurry:
            os._exit(EXIT_RELEASED)
        self._set()
        time.sleep(GRACE_SECONDS)  # the parent may be dead, and this process hang
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
