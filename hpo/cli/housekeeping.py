"""Commands that delete: delete, gc."""

import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    DryRun,
    StorageUrl,
    StudyName,
)
from hpo.cli.output import print_json, say
from hpo.config.errors import ArtifactError, HpoError, InputError

if TYPE_CHECKING:
    from hpo.lifecycle.housekeeping import Swept


def delete(
    name: StudyName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Delete even if workers hold trials; the workers drop them."),
    ] = False,
    keep_artifacts: Annotated[
        bool,
        typer.Option(
            "--keep-artifacts",
            help="Leave the artifacts to hpo gc, for example if their store is out of reach.",
        ),
    ] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Delete a study: its trials, its weights, and its table if no other study uses it.

    The study of its confirmation (hpo confirm) is deleted too.

    Example:
        hpo delete california-housing --yes
    """
    from hpo.files.store import ArtifactStore
    from hpo.lifecycle.housekeeping import delete_with_confirmation
    from hpo.storage.engine import open_storage
    from hpo.study.catalog import find
    from hpo.study.retraining import find_confirming

    opened = open_storage(storage, create=False)
    find(opened, name)
    if not yes:
        also = find_confirming(opened, name)
        named = name if also is None else f"{name} and {also.name}"
        if not sys.stdin.isatty():
            raise InputError("hpo delete asks for confirmation: pass --yes where nobody can answer")
        what = f"study {named} of {opened.safe_url}, with all its trials and weights"
        print(f"Delete {what}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise HpoError("nothing was deleted")
    try:
        store = None if keep_artifacts else ArtifactStore(artifacts, create=False)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; or leave the artifacts with --keep-artifacts") from None
    deleted = delete_with_confirmation(opened, store, name, force=force)
    for study, n_trials, swept in deleted:
        print(f"deleted {study}: {n_trials} trials, {_total(swept)}")


def gc(
    dry_run: DryRun = False,
    unknown: Annotated[
        bool,
        typer.Option(
            "--unknown",
            help="Also delete the artifacts of studies that this storage never held. By default "
            "they are left, because other storages may use the same artifact store.",
        ),
    ] = False,
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Delete unused artifacts: old checkpoints, superseded attempts, files of deleted studies.

    All files of running and waiting trials are kept, and the logs of failed trials.

    Example:
        hpo gc --dry-run
    """
    from hpo.files.store import ArtifactStore
    from hpo.lifecycle.housekeeping import collect
    from hpo.storage.engine import open_storage

    opened = open_storage(storage, create=False)
    store = ArtifactStore(artifacts, create=False)
    swept = collect(opened, store, unknown=unknown, dry_run=dry_run)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "n_files": len(swept.files),
                "n_bytes": swept.n_bytes,
                "files": [vars(file) for file in swept.files],
                "unknown": dict(swept.unknown),
                "damaged": list(swept.damaged),
            }
        )
        return
    counts = Counter(file.kind for file in swept.files)
    for kind, n_files in sorted(counts.items()):
        print(f"{n_files:>6}  {kind}")
    print(f"{'would remove' if dry_run else 'removed'} {_total(swept)}")
    for reason in swept.damaged:
        say(f"left all files of a damaged study: {reason}")
    if swept.unknown:
        named = ", ".join(sorted(name or uuid for uuid, name in swept.unknown.items()))
        say(f"left the files of studies that this storage never held: {named}")


def _total(swept: "Swept") -> str:
    """`3 files, 1.2 MB`."""
    from rich.filesize import decimal

    return f"{len(swept.files)} files, {decimal(swept.n_bytes)}"
