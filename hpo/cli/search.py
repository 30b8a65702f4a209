"""Commands that search: run, create, worker, enqueue, reap."""

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    CheckpointInterval,
    Gpus,
    HangTimeout,
    Lease,
    NTrials,
    PerGpu,
    Priority,
    Slots,
    StorageTimeout,
    StorageUrl,
    StudyFile,
    StudyName,
    Timeout,
    Workers,
    opened,
    seconds,
    worker_arguments,
)
from hpo.config.errors import InputError

if TYPE_CHECKING:
    from types import FrameType

    from hpo.files.store import ArtifactStore
    from hpo.study.study import Study
    from hpo.worker.supervisor import Slot


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(run)
    app.command()(create)
    app.command()(worker)
    app.command()(enqueue)
    app.command()(reap)


def run(
    study_file: StudyFile,
    n_trials: NTrials = None,
    timeout: Timeout = None,
    workers: Workers = "auto",
    gpus: Gpus = "auto",
    per_gpu: PerGpu = 1,
    slots: Slots = "1",
    lease: Lease = "60s",
    checkpoint_interval: CheckpointInterval = "60s",
    storage_timeout: StorageTimeout = "10m",
    hang_timeout: HangTimeout = "10m",
    top: Annotated[int, typer.Option("--top", min=1, help="How many winners to export.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the winners; by default winners/NAME."),
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Create a study, search with this machine's workers, and export the winners.

    Run it again to go on where it ended; raise --n-trials to search further.

    Example:
        hpo run studies/california_housing.toml --n-trials 40 --timeout 10m
    """
    from hpo.cli.show import print_leaderboard
    from hpo.launch.local import local_slots
    from hpo.results.export import export
    from hpo.study.leaderboard import leaderboard

    arguments = worker_arguments(
        slots,
        lease=lease,
        checkpoint_interval=checkpoint_interval,
        storage_timeout=storage_timeout,
        hang_timeout=hang_timeout,
    )
    places = local_slots(gpus=gpus, per_gpu=per_gpu, workers=workers)
    study, store = _create(study_file, storage, artifacts, n_trials, timeout)
    study.storage.check_room(len(places))
    print(study.name)
    winners = _writable(out or Path("winners") / study.name)
    if (status := study.progress()).state == "finished":
        print(status.why_closed, file=sys.stderr)
    search_here(study, store, places, arguments)
    if (status := study.progress()).state == "stopped":
        print(status.why_closed, file=sys.stderr)
    folders = export(study, store, winners, top=top)
    print_leaderboard(study, leaderboard(study)[:10])
    for folder in folders:
        print(folder)


def create(
    study_file: StudyFile,
    n_trials: NTrials = None,
    timeout: Timeout = None,
    priority: Priority = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Create a study, or reopen it, without searching.

    Creating it again is harmless; a raised budget extends it.

    Example:
        hpo create studies/adult.toml --storage postgresql://me@db/hpo --artifacts s3://bucket/hpo
    """
    from hpo.study.steering import prioritize

    study, _ = _create(study_file, storage, artifacts, n_trials, timeout)
    if priority is not None:
        prioritize(study, priority)
    print(study.name)


def worker(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Studies to work for; without, every open one."),
    ] = None,
    workers: Workers = "auto",
    gpus: Gpus = "auto",
    per_gpu: PerGpu = 1,
    slots: Slots = "1",
    lease: Lease = "60s",
    checkpoint_interval: CheckpointInterval = "60s",
    storage_timeout: StorageTimeout = "10m",
    hang_timeout: HangTimeout = "10m",
    n_trials: Annotated[
        int | None,
        typer.Option("--n-trials", min=1, help="Trials that this command may claim in all."),
    ] = None,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="DURATION", help="Give trials back and end after this."),
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> NoReturn:
    """Work for studies: start it in any terminal, on any machine that reaches the storage.

    At SIGTERM or Ctrl-C it keeps its trials where they are, gives them back and ends with code 75
    within seconds; a second one ends it at once.

    Example:
        hpo worker california-housing --gpus 0,1 --storage postgresql://me@db/hpo
    """
    from hpo.files.store import ArtifactStore
    from hpo.launch.local import local_slots
    from hpo.launch.workers import create_supervisor
    from hpo.storage.engine import open_storage
    from hpo.worker.quota import Quota
    from hpo.worker.supervisor import EXIT_RELEASED

    arguments = worker_arguments(
        slots,
        lease=lease,
        checkpoint_interval=checkpoint_interval,
        storage_timeout=storage_timeout,
        hang_timeout=hang_timeout,
    )
    if timeout is not None:
        deadline = time.time() + seconds("--timeout", timeout)
        arguments += ["--deadline", str(deadline)]  # of this command, however often a worker dies
    interrupt_at_sigterm()
    code = EXIT_RELEASED
    with suppress(KeyboardInterrupt):
        patience = seconds("--storage-timeout", storage_timeout)
        opened_storage = open_storage(storage, create=False, patience=patience)
        store = ArtifactStore(artifacts, create=False)
        places = local_slots(gpus=gpus, per_gpu=per_gpu, workers=workers)
        opened_storage.check_room(len(places))
        supervisor = create_supervisor(
            opened_storage,
            store,
            places,
            [*(names or []), *arguments],
            quota=None if n_trials is None else Quota.limited(n_trials),
        )
        with suppress(KeyboardInterrupt), supervisor:
            supervisor.wait()
        code = supervisor.exit_code()
    sys.exit(code)


def enqueue(
    name: StudyName,
    params: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="Params to fix; others are sampled.")
    ],
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Queue a trial with params of your own choice.

    A number that may also be 0 (`or_zero`) is turned off by 0 and on by any other value.

    Example:
        hpo enqueue california-housing model.depth=4 optimizer.name=adamw
    """
    study = opened(name, storage)
    given = dict(_parse_param(text) for text in params)
    number = study.enqueue(study.definition.space.switched(given))
    print(number)


def reap(name: StudyName, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Take back the trials of dead workers, where no worker is left to do so.

    Looks twice, a part of a lease apart: a worker that was only cut off shows a sign of life in
    between. Prints the numbers of the trials that wait again.

    Example:
        hpo reap california-housing
    """
    for number in opened(name, storage).reaper.reap_patiently():
        print(number)


def search_here(
    study: "Study", store: "ArtifactStore", places: "Sequence[Slot]", arguments: Sequence[str]
) -> None:
    """Search with this machine's workers in a live view; end the command where that fails.

    Args:
        study: what is searched.
        store: where its weights are.
        places: the workers', one each.
        arguments: further ones of each worker.
    """
    from hpo.cli.live import watch
    from hpo.launch.search import search
    from hpo.launch.workers import create_supervisor

    interrupt_at_sigterm()
    with watch(study, len(places)) as view:
        workers = create_supervisor(
            study.storage, store, places, [study.name, *arguments], on_line=view.log
        )
        try:
            code = search(study, store, workers, view.update)
        except KeyboardInterrupt:
            view.log("Interrupted. What is finished is kept; the same command goes on.")
            raise typer.Exit(130) from None
    if code != 0:
        raise typer.Exit(code)


def _create(
    study_file: Path, storage: str, artifacts: str, n_trials: int | None, timeout: str | None
) -> "tuple[Study, ArtifactStore]":
    from hpo.lifecycle.creation import create_from_file

    limit = None if timeout is None else seconds("--timeout", timeout)
    study, store = create_from_file(
        study_file, storage, artifacts, n_trials=n_trials, timeout=limit
    )
    for note in study.notes:
        print(f"note: {note}", file=sys.stderr)
    return study, store


def _parse_param(text: str) -> tuple[str, bool | int | float | str]:
    """`key=value`, the value as TOML reads it, or else as plain text."""
    import tomllib

    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"params read KEY=VALUE, such as model.depth=3, but got {text}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return name, parsed


def _writable(folder: Path) -> Path:
    """Make the folder that the winners will be written into, rather than find out afterwards."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror})") from None
    return folder


def interrupt_at_sigterm() -> None:
    """Let a SIGTERM end the command as Ctrl-C does."""

    def interrupt(number: int, frame: "FrameType | None") -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
