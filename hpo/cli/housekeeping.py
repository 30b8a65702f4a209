"""Commands that tidy up: delete, gc."""

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    StorageUrl,
    StudyName,
)
from hpo.config.errors import ArtifactError, HpoError, InputError

if TYPE_CHECKING:
    from hpo.lifecycle.housekeeping import Swept


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(delete)
    app.command()(gc)


def delete(
    name: StudyName,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even while workers hold trials; they drop them.")
    ] = False,
    keep_artifacts: Annotated[
        bool,
        typer.Option(
            "--keep-artifacts", help="Leave the files, for hpo gc: where their store is away."
        ),
    ] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Delete a study: its trials, its weights, and its table where no other study uses it.

    The study by which hpo confirm confirmed it goes as well.

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
        _ask(f"Delete study {named} of {opened.safe_url}, with all its trials and weights?")
    try:
        store = None if keep_artifacts else ArtifactStore(artifacts, create=False)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; or leave the files by --keep-artifacts") from None
    for gone, swept in delete_with_confirmation(opened, store, name, force=force):
        print(f"deleted {gone.row.name}: {gone.n_trials} trials, {_total(swept)}")


def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    unknown: Annotated[
        bool,
        typer.Option(
            "--unknown",
            help="Also remove the files of studies that this storage never held. They are left "
            "otherwise, because the studies of other storages may share the artifact store.",
        ),
    ] = False,
    as_json: AsJson = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Remove artifacts that no trial names: other attempts, old checkpoints, deleted studies.

    Trials that are running or waiting keep all they have, failed ones their logs.

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
        print(json.dumps(_document(swept, dry_run=dry_run), indent=2, ensure_ascii=False))
        return
    counts = Counter(file.kind for file in swept.files)
    for kind, n_files in sorted(counts.items()):
        print(f"{n_files:>6}  {kind}")
    print(f"{'would remove' if dry_run else 'removed'} {_total(swept)}")
    if swept.unknown:
        named = ", ".join(sorted(name or uuid for uuid, name in swept.unknown.items()))
        print(f"left the files of studies that this storage never held: {named}", file=sys.stderr)


def _ask(question: str) -> None:
    """Let a person say yes, or end the command."""
    if not sys.stdin.isatty():
        raise InputError("hpo delete asks before it deletes: pass --yes where nobody can answer")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise HpoError("nothing was deleted")


def _document(swept: "Swept", *, dry_run: bool) -> dict[str, object]:
    """What was removed, as scripts read it."""
    return {
        "dry_run": dry_run,
        "n_files": len(swept.files),
        "n_bytes": swept.n_bytes,
        "files": [vars(file) for file in swept.files],
        "unknown": dict(swept.unknown),
    }


def _total(swept: "Swept") -> str:
    """`3 files, 1.2 MB`."""
    size, unit = float(swept.n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    shown = f"{size:.0f}" if unit == "bytes" else f"{size:.1f}"
    return f"{len(swept.files)} files, {shown} {unit}"
