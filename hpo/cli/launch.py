"""Commands that start the same workers on engines of several machines: launch slurm, kubernetes."""

import sys
from typing import Annotated

import typer

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
    """Refuse a storage that several machines cannot share; warn of artifacts that they may not.

    Raises:
        InputError: the storage is a SQLite file, or none.
    """
    from hpo.launch.remote import artifacts_warning, check_storage

    check_storage(storage)
    if warning := artifacts_warning(artifacts):
        print(f"hpo: {warning}", file=sys.stderr)
