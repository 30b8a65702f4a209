"""The command that sums a study up: report."""

from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    StorageUrl,
    StudyName,
    opened,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(report)


def report(
    name: StudyName,
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; NAME.html by default.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Rows of the leaderboard.")] = 10,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Write a study's report: one HTML file that opens offline.

    It compares the winner with the default configuration and with scikit-learn's gradient boosting
    and a linear model, fitted anew on the same split.

    Example:
        hpo report california-housing --out report.html
    """
    from hpo.files.store import ArtifactStore
    from hpo.results.report.writing import write_report

    study = opened(name, storage)
    store = ArtifactStore(artifacts, create=False)
    print(write_report(study, store, out or Path(f"{name}.html"), top=top))
