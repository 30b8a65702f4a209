"""Commands that search: run, create, worker, confirm."""

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    EnsembleSize,
    LocalOptions,
    NTrials,
    StorageUrl,
    StudyFile,
    StudyName,
    StudyNames,
    Timeout,
    WorkerOptions,
    expand_options,
    load_artifacts,
    seconds,
)
from hpo.cli.output import print_json, say
from hpo.config.errors import HpoError, StorageUnavailableError
from hpo.config.trial import ENSEMBLE_SIZE
from hpo.files.durable import writing

if TYPE_CHECKING:
    from hpo.study.artifacts import StudyArtifacts
    from hpo.worker.supervisor import Slot


@expand_options
def run(
    study_file: StudyFile,
    *,
    n_trials: NTrials = None,
    timeout: Timeout = None,
    local: LocalOptions,
    worker: WorkerOptions,
    top: Annotated[int, typer.Option(min=1, help="Configurations to export.")] = 3,
    ensemble: EnsembleSize = ENSEMBLE_SIZE,
    out: Annotated[
        Path | None, typer.Option(help="Folder to export to; by default winners/NAME.")
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Create a study, search with workers on this machine, and export the best trials.

    An ensemble of the trials' models is exported too. hpo predict NAME uses it unless the best
    single model is better on validation in both the metric and the loss.

    Run the command again to continue an interrupted search, or with a larger --n-trials to extend
    it.

    Example:
        hpo run studies/california_housing.toml --n-trials 40 --timeout 10m
    """
    from hpo.cli.show import print_exported, print_leaderboard
    from hpo.results.export import export
    from hpo.study.leaderboard import leaderboard

    arguments, slots = worker.arguments(), local.slots()
    created = _create(study_file, storage, artifacts, n_trials, timeout)
    study = created.study
    study.storage.check_room(len(slots))
    print(study.name)
    winners = out or Path("winners") / study.name
    with writing(f"--out {winners}"):  # before the search, not after it
        winners.mkdir(parents=True, exist_ok=True)
    if (status := study.progress()).state == "finished":
        say(status.why_closed)
    search_here(created, slots, arguments)
    if (status := study.progress()).state == "stopped":
        say(status.why_closed)
    exported = export(created, winners, top=top, ensemble=ensemble)
    print_leaderboard(study, leaderboard(study)[:10])
    print_exported(exported)
    say(f"predict with: hpo predict {study.name if out is None else winners} TABLE")


def create(
    study_file: StudyFile,
    n_trials: NTrials = None,
    timeout: Timeout = None,
    priority: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Workers without a study name serve higher priorities first, and studies of "
            "equal priority in turn. A new study has priority 0.",
        ),
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Create a study, or reopen it, without searching.

    Creating an existing study again is safe; a larger budget extends it.

    Example:
        hpo create studies/adult.toml --storage postgresql://me@db/hpo --artifacts s3://bucket/hpo
    """
    from hpo.study.steering import prioritize

    study = _create(study_file, storage, artifacts, n_trials, timeout).study
    if priority is not None:
        prioritize(study, priority)
    print(study.name)


@expand_options
def worker(
    local: LocalOptions,
    worker: WorkerOptions,
    names: StudyNames = None,
    n_trials: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of trials that this command runs.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Give trials back and end after this.")
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Run workers for studies, on any machine that reaches the storage.

    On SIGTERM or Ctrl-C, the workers checkpoint their trials, give them back and end with exit code
    75 within seconds. A second signal ends them at once.

    Example:
        hpo worker california-housing --gpus 0,1 --storage postgresql://me@db/hpo
    """
    from hpo.files.store import ArtifactStore
    from hpo.launch.workers import create_supervisor
    from hpo.storage.engine import open_storage
    from hpo.worker.quota import Quota
    from hpo.worker.supervisor import EXIT_RELEASED

    arguments = worker.arguments()
    if timeout is not None:
        deadline = time.time() + seconds("--timeout", timeout)
        arguments += ["--deadline", str(deadline)]  # also of workers that are restarted
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    code = EXIT_RELEASED
    with suppress(KeyboardInterrupt):
        patience = seconds("--storage-timeout", worker.storage_timeout)
        opened_storage = open_storage(storage, create=False, patience=patience)
        store = ArtifactStore(artifacts, create=False)
        slots = local.slots()
        with suppress(StorageUnavailableError):  # the workers retry by themselves
            opened_storage.check_room(len(slots))
        supervisor = create_supervisor(
            opened_storage,
            store,
            slots,
            [*(names or []), *arguments],
            quota=None if n_trials is None else Quota.limited(n_trials),
        )
        with suppress(KeyboardInterrupt), supervisor:
            supervisor.wait()
        code = supervisor.exit_code()
    sys.exit(code)


@expand_options
def confirm(
    name: StudyName,
    *,
    top: Annotated[int, typer.Option(help="Leading configurations, besides the default.")] = 5,
    seeds: Annotated[int, typer.Option(help="Trainings of each configuration.")] = 5,
    local: LocalOptions,
    worker: WorkerOptions,
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Train the leading configurations and the default again over several seeds.

    The trainings use new seeds and no pruning. They are trials of the study NAME@confirm; other
    machines help with hpo worker NAME@confirm. The configuration with the best mean on validation
    wins. The leaderboard and exports then prefer it, with its original weights. Run the command
    again to continue, or with a larger --top or --seeds to add trainings.

    Example:
        hpo confirm california-housing --top 5 --seeds 5
    """
    from hpo.cli.show import print_confirmation
    from hpo.lifecycle.confirming import conclude, prepare
    from hpo.study.leaderboard import find_row

    arguments, slots = worker.arguments(), local.slots()
    loaded = load_artifacts(name, storage, artifacts)
    study = loaded.study
    study.storage.check_room(len(slots))
    again = prepare(loaded, top=top, seeds=seeds)
    search_here(again, slots, arguments)
    found = conclude(study, again.study)
    if as_json:
        print_json(found.to_json())
    else:
        print_confirmation(found, study.definition.metric_label)
    if found.winner is None:
        raise HpoError(found.verdict)
    print(found.verdict, file=sys.stderr if as_json else sys.stdout)
    if found.winner.number == 0 and (state := find_row(study, 0).state) != "COMPLETE":
        say(
            f"The winner is {state} in the search and has no weights there: "
            f"hpo export {again.study.name} --trial 0 exports the model of one seed."
        )


def search_here(
    artifacts: "StudyArtifacts", slots: "Sequence[Slot]", arguments: Sequence[str]
) -> None:
    """Search with workers on this machine and a live view; end the command if that fails.

    Args:
        artifacts: of the study to search.
        slots: one for each worker.
        arguments: further arguments of each worker.
    """
    from hpo.cli.live import watch
    from hpo.launch.search import search
    from hpo.launch.workers import create_supervisor

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    study = artifacts.study
    with watch(study, len(slots)) as view:
        workers = create_supervisor(
            study.storage, artifacts.store, slots, [study.name, *arguments], on_line=view.log
        )
        try:
            code = search(artifacts, workers, view.update)
        except KeyboardInterrupt:
            view.log("Interrupted. Run the same command again to continue.")
            raise typer.Exit(130) from None
    if code != 0:
        raise typer.Exit(code)


def _create(
    study_file: Path, storage: str, artifacts: str, n_trials: int | None, timeout: str | None
) -> "StudyArtifacts":
    """Create a study and print its notes; the table does not stay in memory."""
    from hpo.lifecycle.creation import create_from_file
    from hpo.study.artifacts import StudyArtifacts

    limit = None if timeout is None else seconds("--timeout", timeout)
    created = create_from_file(study_file, storage, artifacts, n_trials=n_trials, timeout=limit)
    for note in (*created.study.notes, *created.study.warm_start_notes):
        say(f"note: {note}")
    return StudyArtifacts(study=created.study, store=created.store)
