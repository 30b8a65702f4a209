"""The command `launch ray`: workers on a Ray cluster."""

import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.launch import CpusPerWorker, check_shared, open_studies_to_launch
from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    StorageUrl,
    StudyNames,
    WorkerOptions,
    expand_options,
)
from hpo.cli.output import say
from hpo.config.errors import InputError

if TYPE_CHECKING:
    from hpo.launch.ray_pool import PoolSpec
    from hpo.study.artifacts import StudyArtifacts


@expand_options
def launch_ray(
    names: StudyNames = None,
    *,
    workers: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Number of workers; auto: as many as fit, more when the cluster grows.",
        ),
    ] = "auto",
    gpus_per_worker: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="1|0.5|0",
            help="Share of a GPU for each worker; 0 for workers on CPUs.",
        ),
    ] = 1.0,
    cpus_per_worker: CpusPerWorker = 1,
    address: Annotated[
        str | None,
        typer.Option(
            envvar="RAY_ADDRESS",
            metavar="HOST:PORT",
            help="Head of the cluster; by default the cluster that this machine is part of.",
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return and leave the workers running.")
    ] = False,
    stop: Annotated[
        bool,
        typer.Option(
            "--stop", help="End the workers that --detach left running; they give trials back."
        ),
    ] = False,
    worker: WorkerOptions,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Run workers on a Ray cluster, and restart those that die.

    The command shows progress like hpo run. On Ctrl-C, the workers give their trials back. If the
    cluster is lost, the same command on another cluster continues.

    Example:
        hpo launch ray adult --workers 8 --gpus-per-worker 0.5 --storage postgresql://me@db/hpo
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError("hpo launch ray needs Ray: pip install 'hpo[ray]'") from None

    from hpo.launch import ray_pool
    from hpo.launch.local import parse_n_workers
    from hpo.launch.ray_actor import WorkerSpec
    from hpo.launch.ray_cluster import connect

    key = " ".join(["hpo launch ray", *(names or [])])
    if stop:
        connect(address)
        others = [each for each in ray_pool.list_detached() if each != key]
        n_ended = ray_pool.stop_detached(key, lambda status: say(*status.lines))
        if n_ended or not others:
            say(f"ended {n_ended} workers")
        else:
            say(f"no workers of {key} were left running here, but of {', '.join(others)}")
        return
    arguments, n_workers = worker.arguments(), parse_n_workers(workers)
    check_shared(storage, artifacts)
    environment, studies = open_studies_to_launch(names or [], storage, artifacts, n_workers or 1)
    each = WorkerSpec(
        arguments=[*(names or []), *arguments],
        environment=environment,
        gpus=gpus_per_worker,
        cpus=cpus_per_worker,
    )
    spec = ray_pool.PoolSpec(key=key, worker=each, n_workers=n_workers, is_finite=bool(names))
    connect(address)
    try:
        n_wanted, n_places = ray_pool.check_capacity(spec)
        if n_places < n_wanted:
            say(
                f"hpo: the cluster has room for {n_places} of {n_wanted} workers with "
                f"{each.resources} each; the others wait until it grows"
            )
        if detach:
            ray_pool.start_detached(spec)
            say("the workers keep running: hpo workers lists them, --stop ends them")
            return
        code = _attend(spec, n_wanted, studies, address)
    finally:
        ray.shutdown()
    raise typer.Exit(code)


def _attend(
    spec: "PoolSpec",
    n_workers: int,
    studies: "list[StudyArtifacts]",
    address: str | None,
) -> int:
    """Keep the pool alive until no work is left; show the progress of a single study."""
    from hpo.cli.live import watch
    from hpo.launch.ray_cluster import Head
    from hpo.launch.ray_pool import RayWorkerPool
    from hpo.launch.search import search

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    head = Head(address)
    try:
        if len(studies) == 1:
            with watch(studies[0].study, n_workers, where="on Ray") as view:
                pool = RayWorkerPool(
                    spec=spec, on_line=view.log, is_head_responding=head.is_responding
                )
                return search(studies[0], pool, view.update)
        with RayWorkerPool(spec=spec, is_head_responding=head.is_responding) as pool:
            while pool.n_alive():
                time.sleep(1.0)
        return pool.exit_code()
    except KeyboardInterrupt:
        say("Interrupted. Run the same command again to continue.")
        return 130
