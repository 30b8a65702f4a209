"""The command line `hpo`.

Options say where studies are and how many workers run; files say what to search. Commands print
data to standard output, progress and logs to standard error. Exit codes: 0 success, 1 failure,
2 invalid input, 75 a worker gave its trials back after a signal, 130 interrupted.

Commands import what they need when they run: `hpo --help` loads neither torch nor optuna.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from hpo.cli import (
    housekeeping,
    inspect,
    launch,
    launch_ray,
    models,
    search,
    setup,
    steering,
    storage,
)
from hpo.cli.output import say
from hpo.config.errors import HpoError, printable
from hpo.config.version import __version__

app = typer.Typer(
    name="hpo",
    help="Hyperparameter search for PyTorch MLPs on tables.",
    epilog="Start with: hpo init table.csv --target COLUMN, then hpo run STUDY.toml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
]


@app.callback()
def options(version: Version = False) -> None:
    """Hyperparameter search for PyTorch MLPs on tables."""


for command in (  # in the order of `hpo --help`
    search.run,
    search.create,
    search.worker,
    steering.enqueue,
    steering.reap,
    search.confirm,
    steering.pause,
    steering.resume,
    steering.stop,
    steering.prune,
    steering.retry,
    steering.quarantine,
    steering.extend,
    inspect.studies,
    inspect.status,
    inspect.leaderboard,
    inspect.trial,
    inspect.logs,
    models.export,
    models.refit,
    models.predict,
    models.train,
    models.report,
    housekeeping.delete,
    housekeeping.gc,
    setup.init,
    setup.schema,
    setup.doctor,
    setup.dashboard,
    inspect.workers,
):
    app.command()(command)
launch.commands.command("ray")(launch_ray.launch_ray)
app.add_typer(launch.commands, name="launch")
app.add_typer(storage.commands, name="storage")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; print an `HpoError` as one line without a traceback."""
    try:
        app(arguments)
        sys.exit(0)
    except HpoError as error:
        say(f"hpo: {printable(str(error))}")
        sys.exit(error.exit_code)
