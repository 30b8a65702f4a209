"""Commands that show: studies, status, leaderboard, trial, logs, workers."""

from contextlib import nullcontext, suppress
from typing import Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    StorageUrl,
    StudyName,
    TrialNumber,
    load_artifacts,
    load_study,
)
from hpo.cli.output import print_json, say
from hpo.config.errors import HpoError


def studies(as_json: AsJson = False, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """List the studies of a storage.

    Example:
        hpo studies --storage sqlite:///hpo.db
    """
    from hpo.cli.show import print_studies, status_json
    from hpo.storage.engine import open_storage
    from hpo.study.catalog import list_studies, study_rows

    opened = open_storage(storage, create=False)
    errors: list[HpoError] = []
    found, rows = list_studies(opened, errors.append), study_rows(opened)
    ranks = {row.name: row.priority for row in rows}
    if as_json:
        documents = [status_json(status) for status in found]
        print_json([{**each, "priority": ranks.get(each["name"], 0)} for each in documents])
    else:
        print_studies(found, ranks)
    for error in errors:
        say(f"hpo: {error}")


def status(
    name: StudyName,
    as_json: AsJson = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Keep watching until the study is finished, or until Ctrl-C. With --json, print "
            "one document for each update.",
        ),
    ] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Show a study's progress and its workers.

    Example:
        hpo status california-housing --watch
    """
    from hpo.cli.live import JsonView, follow
    from hpo.cli.live import watch as watch_study
    from hpo.cli.show import print_status, status_json
    from hpo.storage.best import OptimizationHistory

    study = load_study(name, storage)
    if watch:
        shown = nullcontext(JsonView()) if as_json else watch_study(study)
        with suppress(KeyboardInterrupt), shown as view:
            follow(study, view)
        return
    progress = study.progress(OptimizationHistory())
    if as_json:
        print_json(status_json(progress))
    else:
        print_status(progress)


def leaderboard(
    name: StudyName,
    every_state: Annotated[bool, typer.Option("--all", help="Show trials in every state.")] = False,
    top: Annotated[int | None, typer.Option(min=1, help="Trials to show.")] = None,
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Show a study's trials, best first by the validation metric.

    Example:
        hpo leaderboard california-housing --top 5
    """
    from hpo.cli.show import print_leaderboard
    from hpo.study.leaderboard import leaderboard as ranked

    study = load_study(name, storage)
    rows = ranked(study, every_state=every_state)[:top]
    if as_json:
        print_json([row.to_json() for row in rows])
    else:
        print_leaderboard(study, rows)


def trial(
    name: StudyName,
    number: TrialNumber,
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
) -> None:
    """Show a trial's params, metrics and learning curve.

    Example:
        hpo trial california-housing 17
    """
    from hpo.cli.show import print_trial
    from hpo.study.leaderboard import find_row, learning_curve

    study = load_study(name, storage)
    row, curve = find_row(study, number), learning_curve(study, number)
    if as_json:
        print_json({**row.to_json(), "intermediate_values": curve})
    else:
        print_trial(study, row, curve)


def logs(
    name: StudyName,
    number: TrialNumber,
    attempt: Annotated[int | None, typer.Option(min=1, help="Only this attempt's log.")] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Print the logs of a trial that failed or had several attempts.

    Example:
        hpo logs california-housing 17
    """
    from hpo.results.logs import read_logs

    loaded = load_artifacts(name, storage, artifacts)
    for each, text in read_logs(loaded, number, attempt).items():
        say(f"attempt {each}:")
        print(text, end="" if text.endswith("\n") else "\n", flush=True)


def workers(as_json: AsJson = False, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """List the workers of all studies, on all machines, and those that wait for a trial.

    Example:
        hpo workers --storage postgresql://me@db/hpo
    """
    from hpo.cli.show import print_waiting, print_workers, waiting_json, worker_json
    from hpo.storage.engine import open_storage
    from hpo.storage.waiting import read_waiting
    from hpo.study.catalog import list_workers

    opened = open_storage(storage, create=False)
    found = list_workers(opened, lambda error: say(f"hpo: {error}"))
    with opened.read() as connection:
        waiting = read_waiting(connection)
    if as_json:
        print_json([*map(worker_json, found), *map(waiting_json, waiting)])
        return
    if found:
        print_workers(found)
    if waiting:
        print_waiting(waiting)
    if not found and not waiting:
        say("No worker is at work or waits.")
