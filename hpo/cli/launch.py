"""Commands that start workers on several machines: launch slurm, launch kubernetes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    DryRun,
    StorageUrl,
    WorkerOptions,
    expand_options,
    seconds,
)
from hpo.cli.output import say
from hpo.config.errors import InputError

if TYPE_CHECKING:
    from hpo.study.artifacts import StudyArtifacts

commands = typer.Typer(help="Start workers on several machines.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Studies to work on.")]
NWorkers = Annotated[int, typer.Option("--workers", min=1, help="Number of workers.")]
CpusPerWorker = Annotated[
    int, typer.Option("--cpus-per-worker", min=1, help="CPU cores for each worker.")
]


def check_shared(storage: str, artifacts: str) -> None:
    """Check that several machines can share a storage; warn if they may not reach it.

    Raises:
        InputError: the storage is a SQLite file, or the URL is invalid.
    """
    from hpo.launch.remote import artifacts_warning, check_storage, storage_warning

    check_storage(storage)
    for warning in (storage_warning(storage), artifacts_warning(artifacts)):
        if warning is not None:
            say(f"hpo: {warning}")


def open_studies_to_launch(
    names: Sequence[str], storage: str, artifacts: str, n_workers: int
) -> "tuple[dict[str, str], list[StudyArtifacts]]":
    """Open the studies to launch workers for; end the command if they have no work.

    Returns:
        The environment variables of the workers, and the studies.

    Raises:
        HpoError: a study cannot be opened, or the storage has too few connections.
    """
    from hpo.files.store import ArtifactStore
    from hpo.launch.remote import why_nothing_to_do
    from hpo.launch.workers import worker_environment
    from hpo.storage.engine import open_storage
    from hpo.study.artifacts import StudyArtifacts
    from hpo.study.catalog import open_study

    opened = open_storage(storage, create=False)
    store = ArtifactStore(artifacts, create=False)
    studies = [StudyArtifacts(study=open_study(opened, name), store=store) for name in names]
    if why := why_nothing_to_do([each.study for each in studies]):
        say(f"hpo: {why}")
        raise typer.Exit
    opened.check_room(n_workers)
    return worker_environment(opened, store), studies


def checked_name(name: str) -> str:
    """Return a study's name if it is a valid one.

    Raises:
        InputError: the name is invalid.
    """
    from hpo.config.definition import check_name

    try:
        return check_name(name)
    except ValueError as error:
        raise InputError(f"NAME {error}") from None


@commands.command()
@expand_options
def slurm(
    names: Names,
    *,
    workers: NWorkers = 1,
    partition: Annotated[str | None, typer.Option(metavar="P", help="Slurm partition.")] = None,
    time: Annotated[
        str,
        typer.Option(
            metavar="T", help="Time limit of each run of a worker: 4h, 4:00:00 or 1-12:00:00."
        ),
    ] = "4h",
    gres: Annotated[
        str | None, typer.Option(help="Resources of each worker, such as gpu:1; by default no GPU.")
    ] = None,
    cpus_per_worker: CpusPerWorker = 1,
    notice: Annotated[
        str,
        typer.Option(
            metavar="DURATION", help="Time before the limit at which workers give trials back."
        ),
    ] = "2m",
    setup: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LINE", help="Shell command to run before the worker; may be repeated."
        ),
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION",
            help="Further option of sbatch, such as --account=lab; may be repeated.",
        ),
    ] = None,
    output: Annotated[
        str, typer.Option(help="Log file of each worker, with the patterns of Slurm.")
    ] = "hpo-%A_%a.log",
    worker: WorkerOptions,
    dry_run: DryRun = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Submit workers to Slurm as a job array, and print the job id.

    Before the time limit and on preemption, workers give their trials back and are requeued.
    `scancel` ends them. The storage's URL is passed in the environment, not in the script.

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
        arguments=worker.as_typed(),
    )
    script = array.script()
    if dry_run:
        print(script, end="")
        return
    sbatch_path = find_sbatch()
    environment, _ = open_studies_to_launch(names, storage, artifacts, workers)
    print(submit(sbatch_path, script, environment))


@commands.command()
@expand_options
def kubernetes(
    names: Names,
    *,
    image: Annotated[str, typer.Option(metavar="I", help="Container image with hpo on its PATH.")],
    workers: NWorkers = 1,
    gpus_per_worker: Annotated[int, typer.Option(min=0, max=1, help="GPUs of each worker.")] = 1,
    cpus_per_worker: CpusPerWorker = 1,
    memory: Annotated[str, typer.Option(help="Memory of each worker.")] = "8Gi",
    namespace: Annotated[
        str | None, typer.Option(help="Namespace; by default that of kubectl.")
    ] = None,
    secret: Annotated[
        str,
        typer.Option(metavar="NAME", help="Secret with the keys HPO_STORAGE and HPO_ARTIFACTS."),
    ] = "hpo",
    volume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLAIM:/FOLDER",
            help="Volume to mount, for artifacts in a folder; may be repeated.",
        ),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Print an autoscaling KubeRay cluster instead.")
    ] = False,
    worker: WorkerOptions,
    storage: Annotated[
        str | None,
        typer.Option(
            envvar="HPO_STORAGE",
            metavar="URL",
            help="Only to check the URL; pods read it from the Secret.",
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            envvar="HPO_ARTIFACTS",
            metavar="URL",
            help="Only to check the URL; pods read it from the Secret.",
        ),
    ] = None,
) -> None:
    """Print Kubernetes manifests: an Indexed Job of workers, or with --ray a Ray cluster.

    Pods that give their trials back are replaced and do not count as failures. Invalid input fails
    the Job. URLs are read from a Secret and never printed.

    Example:
        hpo launch kubernetes adult --workers 8 --image registry.example/hpo:1 > job.yaml
    """
    from hpo.launch.kubernetes import Pods, parse_volume
    from hpo.launch.remote import artifacts_warning, check_storage

    if storage is not None:
        check_storage(storage)
    if artifacts is not None and not volume and (warning := artifacts_warning(artifacts)):
        say(f"hpo: {warning}: mount it with --volume")
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
        arguments=worker.as_typed(),
    )
    print(pods.ray_cluster() if ray else pods.job(), end="")
