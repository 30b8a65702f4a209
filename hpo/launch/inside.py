"""A search inside this process: one worker, in the caller's thread."""

import math
import os
import platform
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from hpo.files.store import ArtifactStore
from hpo.launch.local import REPEATABLE
from hpo.storage.leases import WorkerId
from hpo.study.study import Study
from hpo.training import SingleTrainer, describe_environment
from hpo.worker.loop import Timing, Worker
from hpo.worker.quota import Quota


def search_inside(study: Study, store: ArtifactStore, device: torch.device) -> None:
    """Work for a study until it is finished; after Ctrl-C, until the trial was given back.

    Args:
        study: what to work for.
        store: where its table and its weights are.
        device: to train on.

    Raises:
        HpoError: the worker cannot go on; its trial was given back.
    """
    if device.type == "cuda":
        os.environ.update(REPEATABLE)
    trainer = SingleTrainer(device)
    with _one_thread(), _interrupts() as stop:
        name = describe_environment(trainer.device, "float32").device
        identity = WorkerId(
            host=platform.node(), pid=os.getpid(), device=name, nonce=secrets.token_hex(4)
        )
        worker = Worker(
            studies=lambda: [study],
            store=store,
            trainer=trainer,
            identity=identity,
            quota=Quota(),
            timing=Timing(hang=math.inf),  # the process is not ours to kill
        )
        worker.work(stop)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Give torch one thread, as a worker process has: the same number of threads, the same bits."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Have Ctrl-C set an event, and take its usual course after the block; a second one at once.

    Only the main thread can be interrupted so.
    """
    stop, usual = threading.Event(), signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or usual in (None, signal.SIG_IGN):
        yield stop
        return
    came = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, usual)
        # By a thread: this one, interrupted here, may hold the lock of the event.
        threading.Thread(target=stop.set).start()

    signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        signal.raise_signal(signal.SIGINT)
