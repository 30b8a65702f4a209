"""The command `workers`: who is at work, whatever started them."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from hpo.cli.options import DEFAULT_STORAGE, AsJson, StorageUrl

if TYPE_CHECKING:
    from hpo.storage.progress import WorkerRow


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(workers)


def workers(as_json: AsJson = False, storage: StorageUrl = DEFAULT_STORAGE) -> None:
    """List the workers that hold trials, on all machines: device, study, last sign of life.

    Example:
        hpo workers --storage postgresql://me@db/hpo
    """
    from hpo.storage.engine import open_storage
    from hpo.storage.progress import read_workers

    with open_storage(storage, create=False).read() as connection:
        found = read_workers(connection)
    if as_json:
        print(json.dumps([_tree(row) for row in found], indent=2, ensure_ascii=False))
    elif found:
        _print_workers(found)
    else:
        print("No worker holds a trial; those that wait for one are not listed.", file=sys.stderr)


def _tree(row: "WorkerRow") -> dict[str, Any]:
    """A row as plain JSON."""
    tree = asdict(row)
    worker = tree.pop("worker")
    del worker["nonce"]
    return {**worker, **tree}


def _print_workers(found: "list[WorkerRow]") -> None:
    from rich import box
    from rich.console import Console

    from hpo.cli.show import PlainTable, duration

    table = PlainTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("host", "process", "device", "study", "trials", "seen"):
        table.add_column(column, no_wrap=column in ("host", "process", "seen"))
    for row in found:
        worker, seen = row.worker, f"{duration(row.silent_seconds)} ago"
        table.add_row(
            worker.host,
            str(worker.pid),
            worker.device if worker.share == 1 else f"{worker.share:.3g} of {worker.device}",
            row.study,
            ", ".join(map(str, row.trials)),
            f"{seen}, silent" if row.is_silent else seen,
        )
    Console().print(table)
