"""Commands about a storage as a whole."""

import typer

from hpo.cli.options import DEFAULT_STORAGE, StorageUrl

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
