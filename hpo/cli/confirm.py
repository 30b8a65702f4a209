"""The command that confirms winners: confirm."""

import json
import sys
from typing import Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    CheckpointInterval,
    Gpus,
    HangTimeout,
    Lease,
    PerGpu,
    Slots,
    StorageTimeout,
    StorageUrl,
    StudyName,
    Workers,
    opened,
    worker_arguments,
)
from hpo.config.errors import HpoError


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(confirm)


def confirm(
    name: StudyName,
    top: Annotated[
        int, typer.Option("--top", help="Leading configurations, besides the default.")
    ] = 5,
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings of each.")] = 5,
    workers: Workers = "auto",
    gpus: Gpus = "auto",
    per_gpu: PerGpu = 1,
    slots: Slots = "1",
    lease: Lease = "60s",
    checkpoint_interval: CheckpointInterval = "60s",
    storage_timeout: StorageTimeout = "10m",
    hang_timeout: HangTimeout = "10m",
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Train the leading configurations again over seeds, beside the default configuration.

    They are trained with seeds that the search did not use, as the study NAME@confirm, without
    pruning; other machines help by hpo worker NAME@confirm. The best mean on validation wins, and
    leaderboard and export prefer it from then on, with its original weights. Run it again to go on
    where it ended, with a larger --top or --seeds to add to it.

    Example:
        hpo confirm california-housing --top 5 --seeds 5
    """
    from hpo.cli.search import search_here
    from hpo.cli.show import print_confirmation
    from hpo.files.store import ArtifactStore
    from hpo.launch.local import local_slots
    from hpo.lifecycle.confirming import conclude, prepare
    from hpo.study.leaderboard import find_row

    arguments = worker_arguments(
        slots,
        lease=lease,
        checkpoint_interval=checkpoint_interval,
        storage_timeout=storage_timeout,
        hang_timeout=hang_timeout,
    )
    places = local_slots(gpus=gpus, per_gpu=per_gpu, workers=workers)
    study, store = opened(name, storage), ArtifactStore(artifacts, create=False)
    study.storage.check_room(len(places))
    again = prepare(study, store, top=top, seeds=seeds)
    search_here(again, store, places, arguments)
    found = conclude(study, again)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print_confirmation(found, study.definition.metric_label)
    if found.winner is None:
        raise HpoError(found.verdict)
    print(found.verdict, file=sys.stderr if as_json else sys.stdout)
    if found.winner.number == 0 and (state := find_row(study, 0).state) != "COMPLETE":
        print(
            f"It is {state} in the search, so that it has no weights there: "
            f"hpo export {again.name} --trial 0 takes those of a seed.",
            file=sys.stderr,
        )
