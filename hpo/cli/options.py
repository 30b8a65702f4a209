"""Options that several commands share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.config.errors import InputError

if TYPE_CHECKING:
    from hpo.study.artifacts import StudyArtifacts
    from hpo.study.study import Study
    from hpo.worker.supervisor import Slot

DEFAULT_STORAGE = "sqlite:///hpo.db"
DEFAULT_ARTIFACTS = "hpo-artifacts"

StorageUrl = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="HPO_STORAGE",
        metavar="URL",
        help="Database of studies: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE, "
        "or the same with mariadb://.",
    ),
]
ArtifactsUrl = Annotated[
    str,
    typer.Option(
        "--artifacts",
        envvar="HPO_ARTIFACTS",
        metavar="URL",
        help="Artifact store of tables and weights: a folder, or a URL such as s3://BUCKET/PATH.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the study.")]
StudyNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME...]", help="Studies to work on; by default all unfinished."),
]
TrialNumber = Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the trial.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="Study file.")]
TableSource = Annotated[
    str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet file, or its URL.")
]
NTrials = Annotated[
    int | None,
    typer.Option("--n-trials", min=1, help="Maximum number of trials; overrides the study file."),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout",
        metavar="DURATION",
        help="Time limit, such as 90s, 30m or 2h; overrides the study file.",
    ),
]
EnsembleSize = Annotated[
    int,
    typer.Option(
        "--ensemble",
        metavar="K",
        min=0,
        help="Also export an ensemble of up to K models, selected on the validation part; 0: none.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done; change nothing.")
]


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Options of each worker; a command takes them with `expand_options`."""

    slots: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Trials that each worker trains at once, as one program; auto measures and "
            "chooses. With 1, trials are reproducible to the bit.",
        ),
    ] = "1"
    lease: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Time without a heartbeat after which other workers take over a worker's trials.",
        ),
    ] = "60s"
    checkpoint_interval: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Time between a trial's checkpoints; at most this much work is lost if a worker "
            "is killed.",
        ),
    ] = "60s"
    storage_timeout: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="How long workers wait for a storage or artifact store that is out of reach.",
        ),
    ] = "10m"
    hang_timeout: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            help="Time without progress after which a worker is killed and restarted.",
        ),
    ] = "10m"

    def arguments(self) -> list[str]:
        """Arguments of a worker process.

        Raises:
            InputError: an option is invalid.
        """
        from hpo.launch.local import slots_argument

        durations = asdict(self)
        arguments = slots_argument(durations.pop("slots"))
        for name, text in durations.items():
            option = f"--{name.replace('_', '-')}"
            arguments += [option, str(seconds(option, text))]
        return arguments

    def as_typed(self) -> list[str]:
        """Arguments of `hpo worker` as the user typed them, for scripts that people read.

        Raises:
            InputError: an option is invalid.
        """
        self.arguments()
        given = asdict(self).items()
        return [part for name, text in given for part in (f"--{name.replace('_', '-')}", text)]


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """Options of the workers on this machine; a command takes them with `expand_options`."""

    workers: Annotated[
        str, typer.Option(metavar="N|auto", help="Number of workers; auto: one for each slot.")
    ] = "auto"
    gpus: Annotated[
        str,
        typer.Option(
            metavar="auto|none|0,1",
            help="Visible GPUs to use; without a GPU, each CPU core is a slot.",
        ),
    ] = "auto"
    per_gpu: Annotated[int, typer.Option(help="Number of workers that share each GPU.")] = 1

    def slots(self) -> "list[Slot]":
        """The slots of the workers.

        Raises:
            InputError: an option is invalid.
        """
        from hpo.launch.local import local_slots

        return local_slots(gpus=self.gpus, per_gpu=self.per_gpu, workers=self.workers)


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options, such as `WorkerOptions`.

    Typer sees each field of such a parameter as an option of the command.
    """
    groups: dict[str, Any] = {}
    expanded: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(parameter.annotation):
            groups[name] = parameter.annotation
            expanded += inspect.signature(groups[name]).parameters.values()
        else:
            expanded.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def call(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{each.name: values.pop(each.name) for each in fields(group)})
        command(**values)

    vars(call)["__signature__"] = inspect.Signature(expanded)
    call.__annotations__ = {each.name: each.annotation for each in expanded}
    return call


def seconds(option: str, text: str) -> float:
    """The seconds of a duration option.

    Raises:
        InputError: the text is not a duration.
    """
    from hpo.config.parsing import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(f"{option} {error}") from None


def load_study(name: str, storage: str) -> "Study":
    """Open a study of an existing storage.

    Raises:
        StorageError: the storage does not exist.
        StudyNotFoundError: the storage has no study of this name.
    """
    from hpo.storage.engine import open_storage
    from hpo.study.catalog import open_study

    return open_study(open_storage(storage, create=False), name)


def load_artifacts(name: str, storage: str, artifacts: str) -> "StudyArtifacts":
    """Open a study and its artifact store, both of which exist.

    Raises:
        StorageError: the storage does not exist.
        StudyNotFoundError: the storage has no study of this name.
        ArtifactError: the artifact store does not exist.
        InputError: the study was created with another artifact store.
    """
    from hpo.files.store import ArtifactStore
    from hpo.study.artifacts import StudyArtifacts

    study = load_study(name, storage)
    return StudyArtifacts(study=study, store=ArtifactStore(artifacts, create=False))
