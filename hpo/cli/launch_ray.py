"""The command `launch ray`: the same workers on a Ray cluster."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.launch import CpusPerWorker, check_shared, commands, open_studies_to_launch
from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    CheckpointInterval,
    HangTimeout,
    Lease,
    Slots,
    StorageTimeout,
    StorageUrl,
    worker_arguments,
)
from hpo.cli.search import interrupt_at_sigterm
from hpo.config.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

    from hpo.files.store import ArtifactStore
    from hpo.launch.ray_pool import PoolSpec
    from hpo.study.study import Study


def register(app: typer.Typer) -> None:
    """Add this module's command to `hpo launch`."""
    commands.command("ray")(launch_ray)


def launch_ray(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Studies to work for; without, every open one."),
    ] = None,
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            metavar="N|auto",
            help="How many; auto: as many as the cluster has room for, more when it grows.",
        ),
    ] = "auto",
    gpus_per_worker: Annotated[
        float,
        typer.Option(
            "--gpus-per-worker",
            min=0,
            max=1,
            metavar="1|0.5|0",
            help="The part of a GPU for each worker; 0 for workers on processors.",
        ),
    ] = 1.0,
    cpus_per_worker: CpusPerWorker = 1,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            envvar="RAY_ADDRESS",
            metavar="HOST:PORT",
            help="The cluster's head; by default this machine is part of the cluster.",
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return, and leave the workers running.")
    ] = False,
    stop: Annotated[
        bool,
        typer.Option(
            "--stop", help="End the workers that --detach left running; they hand trials back."
        ),
    ] = False,
    slots: Slots = "1",
    lease: Lease = "60s",
    checkpoint_interval: CheckpointInterval = "60s",
    storage_timeout: StorageTimeout = "10m",
    hang_timeout: HangTimeout = "10m",
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Keep workers on a Ray cluster, each on a device of its own, whatever dies there.

    Progress is shown as by hpo run; Ctrl-C lets the workers hand their trials back. When the
    cluster is lost, the same command on another one goes on.

    Example:
        hpo launch ray adult --workers 8 --gpus-per-worker 0.5 --storage postgresql://me@db/hpo
    """
    ray_pool = _ray()
    import ray

    from hpo.launch.local import parse_n_workers
    from hpo.launch.ray_actor import WorkerSpec
    from hpo.launch.ray_cluster import connect

    key = " ".join(["hpo launch ray", *(names or [])])
    if stop:
        connect(address)
        _stop_running(ray_pool, key)
        return
    arguments = worker_arguments(
        slots,
        lease=lease,
        checkpoint_interval=checkpoint_interval,
        storage_timeout=storage_timeout,
        hang_timeout=hang_timeout,
    )
    n_workers = parse_n_workers(workers)
    check_shared(storage, artifacts)
    environment, store, studies = open_studies_to_launch(
        names or [], storage, artifacts, n_workers or 1
    )
    worker = WorkerSpec(
        arguments=[*(names or []), *arguments],
        environment=environment,
        gpus=gpus_per_worker,
        cpus=cpus_per_worker,
    )
    spec = ray_pool.PoolSpec(key=key, worker=worker, n_workers=n_workers, is_finite=bool(names))
    connect(address)
    try:
        n_wanted, n_places = ray_pool.check_capacity(spec)
        if n_places < n_wanted:
            _say(
                f"hpo: the cluster has room for {n_places} of {n_wanted} workers with "
                f"{worker.resources} each; the others wait until it grows"
            )
        if detach:
            ray_pool.start_detached(spec)
            _say("the workers are left running: hpo workers lists them, --stop ends them")
            return
        code = _attend(spec, n_wanted, studies, store, address)
    finally:
        ray.shutdown()
    raise typer.Exit(code)


def _attend(
    spec: "PoolSpec",
    n_workers: int,
    studies: "list[Study]",
    store: "ArtifactStore",
    address: str | None,
) -> int:
    """Keep the pool until it has nothing left to do, and show how far its study is."""
    from hpo.cli.live import watch
    from hpo.launch.ray_cluster import Head
    from hpo.launch.ray_pool import RayWorkerPool
    from hpo.launch.search import search

    interrupt_at_sigterm()
    head = Head(address)
    try:
        if len(studies) == 1:
            with watch(studies[0], n_workers, where="on Ray") as view:
                pool = RayWorkerPool(
                    spec=spec, on_line=view.log, is_head_responding=head.is_responding
                )
                return search(studies[0], store, pool, view.update)
        with RayWorkerPool(spec=spec, is_head_responding=head.is_responding) as pool:
            while pool.n_alive():
                time.sleep(1.0)
        return pool.exit_code()
    except KeyboardInterrupt:
        _say("Interrupted. What is finished is kept; the same command goes on.")
        return 130


def _ray() -> "ModuleType":
    """What needs Ray, which is an extra.

    Raises:
        InputError: it is not installed.
    """
    try:
        from hpo.launch import ray_pool
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError("hpo launch ray needs Ray: pip install 'hpo[ray]'") from None
    return ray_pool


def _stop_running(ray_pool: "ModuleType", key: str) -> None:
    others = [each for each in ray_pool.list_detached() if each != key]
    n_ended = ray_pool.stop_detached(key, lambda status: _say(*status.lines))
    if n_ended or not others:
        _say(f"ended {n_ended} workers")
    else:
        _say(f"no workers of {key} were left running here, but of {', '.join(others)}")


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr, flush=True)
