"""What a person types and sees.

Flags say where and how many, files say what. Data go to standard output, progress and logs to
standard error. Exit codes: 0 done, 1 failed while working, 2 the input was wrong, 75 a worker gave
its trials back at a signal, 130 interrupted.

The commands import what they need when they run: `hpo --help` loads neither torch nor optuna.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from hpo.cli import (
    confirm,
    housekeeping,
    inspect,
    launch,
    launch_ray,
    models,
    report,
    search,
    setup,
    steering,
    storage,
    workers,
)
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


for module in (
    search,
    confirm,
    launch,
    launch_ray,
    steering,
    inspect,
    models,
    report,
    housekeeping,
    setup,
    storage,
    workers,
):
    module.register(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; an `HpoError` is one sentence and its exit code, no traceback."""
    try:
        app(arguments)
        sys.exit(0)
    except HpoError as error:
        print(f"hpo: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
