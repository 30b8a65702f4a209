"""Options that several commands share, each written once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.config.errors import InputError

if TYPE_CHECKING:
    from hpo.study.study import Study

StorageUrl = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="HPO_STORAGE",
        metavar="URL",
        help=(
            "Where studies are kept: sqlite:///FILE, or postgresql:// or mariadb:// and "
            "USER:PASSWORD@HOST/DATABASE."
        ),
    ),
]
ArtifactsUrl = Annotated[
    str,
    typer.Option(
        "--artifacts",
        envvar="HPO_ARTIFACTS",
        metavar="URL",
        help="Where tables and weights are kept: a folder, or s3://BUCKET/PATH and the like.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
StudyName = Annotated[str, typer.Argument(metavar="NAME", help="The study's name.")]
TrialNumber = Annotated[int, typer.Argument(metavar="NUMBER", help="The trial's number.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")]
NTrials = Annotated[
    int | None,
    typer.Option("--n-trials", min=1, help="Trials the study may ever create; overrides its file."),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        "--timeout", metavar="DURATION", help="Time, such as 90s, 30m or 2h; overrides the file."
    ),
]
Priority = Annotated[
    int | None,
    typer.Option(
        "--priority",
        metavar="N",
        help=(
            "Workers without a name serve higher ones first, equal ones in turn; 0 unless it is "
            "set, and kept where it is not given."
        ),
    ),
]
Workers = Annotated[
    str, typer.Option("--workers", metavar="N|auto", help="Worker processes; auto: one a slot.")
]
Gpus = Annotated[
    str,
    typer.Option(
        "--gpus",
        metavar="auto|none|0,1",
        help="Which of the visible GPUs to use; without one, each core is a slot.",
    ),
]
PerGpu = Annotated[int, typer.Option("--per-gpu", help="Workers that share each GPU.")]
Slots = Annotated[
    str,
    typer.Option(
        "--slots",
        metavar="N|auto",
        help=(
            "Trials that each worker trains at once, as one program; auto measures and chooses. "
            "With 1, a trial can be repeated to the bit."
        ),
    ),
]
Lease = Annotated[
    str,
    typer.Option(
        "--lease",
        metavar="DURATION",
        help="How long a silent worker keeps its trials before others take them over.",
    ),
]

CheckpointInterval = Annotated[
    str,
    typer.Option(
        "--checkpoint-interval",
        metavar="DURATION",
        help="How often each trial's state is kept; so much is lost when a worker is killed.",
    ),
]
StorageTimeout = Annotated[
    str,
    typer.Option(
        "--storage-timeout",
        metavar="DURATION",
        help="How long workers go on without the storage or the artifact store.",
    ),
]
HangTimeout = Annotated[
    str,
    typer.Option(
        "--hang-timeout",
        metavar="DURATION",
        help="A worker that shows no progress for so long is killed and started again.",
    ),
]

DEFAULT_STORAGE = "sqlite:///hpo.db"
DEFAULT_ARTIFACTS = "hpo-artifacts"


def seconds(option: str, text: str) -> float:
    """A duration option in seconds.

    Raises:
        InputError: it reads as no duration.
    """
    from hpo.config.parsing import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(f"{option} {error}") from None


def worker_arguments(slots: str, **durations: str) -> list[str]:
    """Options for worker processes: trials at once, and durations by their name.

    Raises:
        InputError: one of them is none.
    """
    from hpo.launch.local import slots_argument

    arguments = slots_argument(slots)
    for name, text in durations.items():
        option = f"--{name.replace('_', '-')}"
        arguments += [option, str(seconds(option, text))]
    return arguments


def opened(name: str, storage: str) -> "Study":
    """The study of that name in an existing storage.

    Raises:
        StorageError: the storage is not there.
        StudyNotFoundError: it holds no such study.
    """
    from hpo.storage.engine import open_storage
    from hpo.study.catalog import open_study

    return open_study(open_storage(storage, create=False), name)
