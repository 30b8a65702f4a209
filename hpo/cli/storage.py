"""Commands about a storage as a whole."""

from typing import Annotated

import typer

from hpo.cli.options import DEFAULT_ARTIFACTS, DEFAULT_STORAGE, ArtifactsUrl, StorageUrl

commands = typer.Typer(help="Look after a storage as a whole.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands, all of them behind `hpo storage`."""
    app.add_typer(commands, name="storage")


@commands.command()
def upgrade(storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Bring a storage that an older hpo made up to date; its studies stay as they are.

    Stop its workers first: those of the older hpo do not know the new tables.

    Example:
        hpo storage upgrade --storage postgresql://me@db/hpo
    """
    from hpo.storage.upgrade import upgrade as bring_up_to_date

    for line in bring_up_to_date(storage) or ["nothing to do: it is up to date"]:
        print(line)


@commands.command()
def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="URL of the storage in which the studies are.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="URL of the storage in which they go on.")
    ],
    study: Annotated[
        list[str] | None,
        typer.Option(
            "--study", metavar="NAME", help="This study and its confirmation; may be repeated."
        ),
    ] = None,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
    to_artifacts: Annotated[
        str | None,
        typer.Option(
            "--to-artifacts",
            metavar="URL",
            help="Copy the artifacts, from --artifacts to this store: the copies are studies of "
            "their own. Without it the studies move, and their artifacts stay where they are.",
        ),
    ] = None,
) -> None:
    """Let studies go on in another storage, of whatever kind.

    A living worker is in the way; a trial that a dead one left running waits there.

    Example:
        hpo storage copy sqlite:///hpo.db postgresql://me@db/hpo --study california-housing
    """
    from hpo.files.store import ArtifactStore
    from hpo.lifecycle.relocation import Stores, copy_studies
    from hpo.storage.engine import open_storage
    from hpo.study.catalog import find

    opened = open_storage(source, create=False)
    for name in study or ():
        find(opened, name)  # before anything is made
    stores = None
    if to_artifacts is not None:
        kept = ArtifactStore(artifacts, create=False)
        stores = Stores(source=kept, target=ArtifactStore(to_artifacts))
    other = open_storage(target)
    for done in copy_studies(opened, other, study or (), stores):
        how = "moved" if stores is None else "copied"
        files = "" if stores is None else f", {done.n_files} files"
        print(f"{how} {done.name}: {done.n_trials} trials{files}")
