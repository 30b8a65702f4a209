"""Commands for a whole storage: storage upgrade, storage copy."""

from typing import Annotated

import typer

from hpo.cli.options import DEFAULT_ARTIFACTS, DEFAULT_STORAGE, ArtifactsUrl, StorageUrl

commands = typer.Typer(help="Upgrade a storage, or copy its studies.", no_args_is_help=True)


@commands.command()
def upgrade(storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """Upgrade a storage of an older hpo; its studies stay as they are.

    Stop its workers first: the older hpo does not know the new tables.

    Example:
        hpo storage upgrade --storage postgresql://me@db/hpo
    """
    from hpo.storage.upgrade import upgrade as upgrade_tables

    for line in upgrade_tables(storage) or ["nothing to do: it is up to date"]:
        print(line)


@commands.command()
def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="URL of the storage with the studies.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="URL of the storage to move or copy them to.")
    ],
    study: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this study and its confirmation; may be repeated."),
    ] = None,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
    to_artifacts: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Copy the artifacts from --artifacts to this store; the copies are separate "
            "studies. By default the studies move, and their artifacts stay where they are.",
        ),
    ] = None,
) -> None:
    """Move studies to another storage of any kind, or copy them with their artifacts.

    Stop the studies' workers first. A running trial of a dead worker waits in the new storage.

    Example:
        hpo storage copy sqlite:///hpo.db postgresql://me@db/hpo --study california-housing
    """
    from hpo.files.store import ArtifactStore
    from hpo.lifecycle.relocation import Stores, copy_studies
    from hpo.storage.engine import open_storage
    from hpo.study.catalog import find

    opened = open_storage(source, create=False)
    for name in study or ():
        find(opened, name)  # before the target is created
    stores = None
    if to_artifacts is not None:
        kept = ArtifactStore(artifacts, create=False)
        stores = Stores(source=kept, target=ArtifactStore(to_artifacts))
    other = open_storage(target)
    for done in copy_studies(opened, other, study or (), stores):
        how = "moved" if stores is None else "copied"
        files = "" if stores is None else f", {done.n_files} files"
        print(f"{how} {done.name}: {done.n_trials} trials{files}")
