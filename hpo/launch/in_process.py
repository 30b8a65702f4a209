"""Search in this process: one worker, in the caller's thread."""

import math
import os
import platform
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hpo.launch.local import REPRODUCIBLE
from hpo.launch.single import one_thread
from hpo.lifecycle.creation import CreatedStudy
from hpo.storage.leases import WorkerId
from hpo.training.precision import describe_environment
from hpo.training.single import SingleTrainer
from hpo.worker.loop import Worker
from hpo.worker.quota import Quota
from hpo.worker.timing import Timing


def search_in_process(created: CreatedStudy, device: torch.device) -> None:
    """Run a worker until the study is finished, or until Ctrl-C releases its trial.

    Args:
        created: study to search.
        device: device to train on.

    Raises:
        HpoError: the worker cannot continue; its trial was released.
    """
    if device.type == "cuda":
        os.environ.update(REPRODUCIBLE)
    trainer = SingleTrainer(device)
    name = describe_environment(trainer.device, "float32").device
    worker = Worker(
        studies=lambda: [created.study],
        storage=created.study.storage,
        store=created.store,
        trainer=trainer,
        identity=WorkerId(
            host=platform.node(), pid=os.getpid(), device=name, nonce=secrets.token_hex(4)
        ),
        quota=Quota(),
        experiments={created.study.uuid: created.experiment},
        timing=Timing(hang=math.inf),  # or the watchdog would kill the caller's process
    )
    with one_thread(), _interrupts() as stop:
        worker.work(stop)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event, and raise it again after the block.

    A second Ctrl-C takes effect immediately. Only the main thread receives signals.
    """
    stop, previous = threading.Event(), signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or previous in (None, signal.SIG_IGN):
        yield stop
        return
    was_interrupted = False

    def handle(*_: object) -> None:
        nonlocal was_interrupted
        was_interrupted = True
        signal.signal(signal.SIGINT, previous)
        # In a thread, because the interrupted code may hold the event's lock.
        threading.Thread(target=stop.set).start()

    signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
    if was_interrupted:
        signal.raise_signal(signal.SIGINT)
