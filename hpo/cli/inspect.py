"""Commands that look: studies, status, leaderboard, trial, logs."""

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    StorageUrl,
    StudyName,
    TrialNumber,
    opened,
)

if TYPE_CHECKING:
    from hpo.study.study import Study


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(studies)
    app.command()(status)
    app.command()(leaderboard)
    app.command()(trial)
    app.command()(logs)


def studies(as_json: AsJson = False, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """List the studies of a storage.

    Example:
        hpo studies --storage sqlite:///hpo.db
    """
    from hpo.cli.show import print_studies, status_json
    from hpo.storage.engine import open_storage
    from hpo.study.catalog import list_studies, study_rows

    looked_at = open_storage(storage, create=False)
    found, rows = list_studies(looked_at), study_rows(looked_at)
    ranks = {row.name: row.priority for row in rows}
    if as_json:
        documents = [status_json(status) for status in found]
        _print_json([{**each, "priority": ranks.get(each["name"], 0)} for each in documents])
    else:
        print_studies(found, ranks)
    for row in rows:
        if row.uuid is not None and row.obstacle is not None:
            print(f"hpo: {row.obstacle}", file=sys.stderr)


def status(
    name: StudyName,
    as_json: AsJson = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Look on until it is finished, or Ctrl-C; with --json a document a line.",
        ),
    ] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Show how far a study is, and who works for it.

    Example:
        hpo status california-housing --watch
    """
    from hpo.cli.show import print_status, status_json
    from hpo.storage.best import OptimizationHistory

    study = opened(name, storage)
    if watch:
        with suppress(KeyboardInterrupt):
            _watch(study, as_json)
        return
    progress = study.progress(OptimizationHistory())
    if as_json:
        _print_json(status_json(progress))
    else:
        print_status(progress)


def _watch(study: "Study", as_json: bool) -> None:
    from hpo.cli.live import JsonView, follow, watch

    if as_json:
        follow(study, JsonView())
        return
    with watch(study) as view:
        follow(study, view)


def leaderboard(
    name: StudyName,
    every_state: Annotated[
        bool, typer.Option("--all", help="Trials of every state, not the finished ones alone.")
    ] = False,
    top: Annotated[int | None, typer.Option("--top", min=1, help="Only the first so many.")] = None,
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Show a study's trials, best first by the validation metric.

    Example:
        hpo leaderboard california-housing --top 5
    """
    from hpo.cli.show import print_leaderboard
    from hpo.study.leaderboard import leaderboard as ranked

    study = opened(name, storage)
    rows = ranked(study, every_state=every_state)[:top]
    if as_json:
        _print_json([row.to_json() for row in rows])
    else:
        print_leaderboard(study, rows)


def trial(
    name: StudyName,
    number: TrialNumber,
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Show one trial: its params, its learning curve, what came of it.

    Example:
        hpo trial california-housing 17
    """
    from hpo.cli.show import print_trial
    from hpo.study.leaderboard import find_row, learning_curve

    study = opened(name, storage)
    row, curve = find_row(study, number), learning_curve(study, number)
    if as_json:
        _print_json({**row.to_json(), "intermediate_values": curve})
    else:
        print_trial(study, row, curve)


def logs(
    name: StudyName,
    number: TrialNumber,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Of this attempt alone.")
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Print what workers logged of a trial that failed or was taken up more than once.

    Example:
        hpo logs california-housing 17
    """
    from hpo.files.store import ArtifactStore
    from hpo.results.logs import read_logs

    study = opened(name, storage)
    store = ArtifactStore(artifacts, create=False)
    for each, text in read_logs(study, store, number, attempt).items():
        print(f"attempt {each}:", file=sys.stderr)
        print(text, end="" if text.endswith("\n") else "\n", flush=True)


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))
