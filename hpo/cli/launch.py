"""Commands that start the same workers on engines of several machines: launch slurm, kubernetes."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

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
    seconds,
    worker_arguments,
)
from hpo.config.errors import InputError

if TYPE_CHECKING:
    from hpo.files.store import ArtifactStore
    from hpo.study.study import Study

commands = typer.Typer(help="Start workers on several machines.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Studies to work for.")]
NWorkers = Annotated[int, typer.Option("--workers", min=1, help="How many workers, one a slot.")]
CpusPerWorker = Annotated[
    int, typer.Option("--cpus-per-worker", min=1, help="Processor cores for each worker.")
]


def register(app: typer.Typer) -> None:
    """Add this module's commands, all of them behind `hpo launch`."""
    app.add_typer(commands, name="launch")


def check_shared(storage: str, artifacts: str) -> None:
    """Refuse a storage that several machines cannot share; warn of what they may not reach.

    Raises:
        InputError: the storage is a SQLite file, or none.
    """
    from hpo.launch.remote import artifacts_warning, check_storage, storage_warning

    check_storage(storage)
    for warning in (storage_warning(storage), artifacts_warning(artifacts)):
        if warning is not None:
            print(f"hpo: {warning}", file=sys.stderr)


def open_studies_to_launch(
    names: Sequence[str], storage: str, artifacts: str, n_workers: int
) -> "tuple[dict[str, str], ArtifactStore, list[Study]]":
    """Open the studies to launch workers for; end the command if they have no work.

    Returns:
        The environment variables of the workers, the artifact store and the studies.

    Raises:
        HpoError: a study cannot be opened, or the storage has too few connections.
    """
    from hpo.launch.remote import open_studies, why_nothing_to_do
    from hpo.launch.workers import worker_environment

    opened, store, studies = open_studies(names, storage, artifacts)
    if why := why_nothing_to_do(studies):
        print(f"hpo: {why}", file=sys.stderr)
        raise typer.Exit
    opened.check_room(n_workers)
    return worker_environment(opened, store), store, studies


def worker_options(slots: str, **durations: str) -> list[str]:
    """Options of `hpo worker`, checked and as they were typed: people read the script.

    Raises:
        InputError: one of them is none.
    """
    worker_arguments(slots, **durations)
    typed = {"slots": slots, **durations}
    return [part for name, text in typed.items() for part in (f"--{name.replace('_', '-')}", text)]


def checked_name(name: str) -> str:
    """A study's name as one could be.

    Raises:
        InputError: no study can have it.
    """
    from hpo.config.definition import check_name

    try:
        return check_name(name)
    except ValueError as error:
        raise InputError(f"NAME {error}") from None


@commands.command()
def slurm(
    names: Names,
    workers: NWorkers = 1,
    partition: Annotated[
        str | None, typer.Option("--partition", metavar="P", help="Slurm's partition.")
    ] = None,
    time: Annotated[
        str,
        typer.Option("--time", metavar="T", help="Limit of one turn: 4h, 4:00:00 or 1-12:00:00."),
    ] = "4h",
    gres: Annotated[
        str | None,
        typer.Option("--gres", help="Such as gpu:1, for each worker; without, workers use no GPU."),
    ] = None,
    cpus_per_worker: CpusPerWorker = 1,
    notice: Annotated[
        str,
        typer.Option(
            "--notice",
            metavar="DURATION",
            help="Trials are handed back so long before the end of a turn.",
        ),
    ] = "2m",
    setup: Annotated[
        list[str] | None,
        typer.Option("--setup", metavar="LINE", help="Shell before the worker; may be repeated."),
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            "--sbatch",
            metavar="OPTION",
            help="A further option of sbatch, such as --account=lab; may be repeated.",
        ),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", help="Log of each worker, by Slurm's patterns.")
    ] = "hpo-%A_%a.log",
    slots: Slots = "1",
    lease: Lease = "60s",
    checkpoint_interval: CheckpointInterval = "60s",
    storage_timeout: StorageTimeout = "10m",
    hang_timeout: HangTimeout = "10m",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the script; look at nothing, submit nothing.")
    ] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Submit workers to Slurm as an array; prints the job's number.

    Each hands its trials back before its time is up, or when it is preempted, and is requeued;
    `scancel` ends them. The storage's URL goes by the environment, not the script.

    Example:
        hpo launch slurm adult --workers 8 --partition gpu --time 4h --gres gpu:1
    """
    from hpo.launch.slurm import SlurmArray, find_sbatch, submit

    check_shared(storage, artifacts)
    array = SlurmArray(
        names=[checked_name(name) for name in names],
        n_workers=workers,
        partition=partition,
        time=time,
        gres=gres,
        cpus=cpus_per_worker,
        notice=seconds("--notice", notice),
        output=output,
        setup=setup or [],
        options=sbatch or [],
        arguments=worker_options(
            slots,
            lease=lease,
            checkpoint_interval=checkpoint_interval,
            storage_timeout=storage_timeout,
            hang_timeout=hang_timeout,
        ),
    )
    script = array.script()
    if dry_run:
        print(script, end="")
        return
    sbatch_path = find_sbatch()
    environment, _, _ = open_studies_to_launch(names, storage, artifacts, workers)
    print(submit(sbatch_path, script, environment))


@commands.command()
def kubernetes(
    names: Names,
    image: Annotated[
        str, typer.Option("--image", metavar="I", help="Container image with hpo on its PATH.")
    ],
    workers: NWorkers = 1,
    gpus_per_worker: Annotated[
        int,
        typer.Option("--gpus-per-worker", min=0, max=1, help="A worker trains on one, or none."),
    ] = 1,
    cpus_per_worker: CpusPerWorker = 1,
    memory: Annotated[str, typer.Option("--memory", help="Memory of each worker.")] = "8Gi",
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="By default that of kubectl.")
    ] = None,
    secret: Annotated[
        str,
        typer.Option(
            "--secret", metavar="NAME", help="The Secret with HPO_STORAGE and HPO_ARTIFACTS."
        ),
    ] = "hpo",
    volume: Annotated[
        list[str] | None,
        typer.Option(
            "--volume",
            metavar="CLAIM:/FOLDER",
            help="A volume to mount, for artifacts in a folder; may be repeated.",
        ),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="A KubeRay cluster that grows and shrinks instead.")
    ] = False,
    slots: Slots = "1",
    lease: Lease = "60s",
    checkpoint_interval: CheckpointInterval = "60s",
    storage_timeout: StorageTimeout = "10m",
    hang_timeout: HangTimeout = "10m",
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            envvar="HPO_STORAGE",
            metavar="URL",
            help="Checked to be one for several machines; the pods read theirs from the Secret.",
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option("--artifacts", envvar="HPO_ARTIFACTS", metavar="URL", help="Likewise."),
    ] = None,
) -> None:
    """Print manifests for Kubernetes: an Indexed Job of workers, or with --ray a Ray cluster.

    Pods that hand their trials back are replaced at no charge; wrong input fails the Job. URLs
    come from a Secret and are never in what is printed.

    Example:
        hpo launch kubernetes adult --workers 8 --image registry.example/hpo:1 > job.yaml
    """
    from hpo.launch.kubernetes import Pods, parse_volume
    from hpo.launch.remote import artifacts_warning, check_storage

    if storage is not None:
        check_storage(storage)
    if artifacts is not None and not volume and (warning := artifacts_warning(artifacts)):
        print(f"hpo: {warning}: mount it by --volume", file=sys.stderr)
    pods = Pods(
        names=[checked_name(name) for name in names],
        n_workers=workers,
        image=image,
        gpus=gpus_per_worker,
        cpus=cpus_per_worker,
        memory=memory,
        namespace=namespace,
        secret=secret,
        volumes=[parse_volume(text) for text in volume or ()],
        arguments=worker_options(
            slots,
            lease=lease,
            checkpoint_interval=checkpoint_interval,
            storage_timeout=storage_timeout,
            hang_timeout=hang_timeout,
        ),
    )
    print(pods.ray_cluster() if ray else pods.job(), end="")
