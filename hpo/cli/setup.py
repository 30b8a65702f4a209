"""Commands around a search: init, schema, doctor, dashboard."""

import os
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    StorageUrl,
    TableSource,
)
from hpo.cli.output import print_json
from hpo.config.errors import InputError
from hpo.files.durable import writing


def init(
    table: TableSource,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Column to predict.")],
    out: Annotated[Path | None, typer.Option(help="File to write; by default stdout.")] = None,
) -> None:
    """Draft a study file from a table.

    Example:
        hpo init houses.csv --target price --out houses.toml
    """
    from hpo.lifecycle.draft import draft

    base = Path() if out is None else out.parent
    text = draft(_relative(table, base), target, base)
    if out is None:
        print(text, end="")
        return
    if out.exists():
        raise InputError(f"{out}: exists already; name another file with --out")
    with writing(str(out)), out.open("x", encoding="utf-8") as file:
        file.write(text)
    print(out)


def schema(
    search_space: Annotated[
        bool, typer.Option("--search-space", help="Print the schema of search-space files.")
    ] = False,
) -> None:
    """Print the JSON Schema of study files, for completion and checks in editors.

    Example:
        hpo schema > study.schema.json
    """
    from hpo.config.json_schema import search_space_schema, study_schema

    print_json(search_space_schema() if search_space else study_schema())


def doctor(
    as_json: AsJson = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Workers to have storage connections for.")
    ] = 1,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Check this machine, the storage and the artifact store.

    The exit code is 1 if a check fails.

    Example:
        hpo doctor --storage postgresql://me@db/hpo --workers 64
    """
    from hpo.launch.doctor import examine

    findings = examine(storage, artifacts, workers)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            mark = "ok   " if finding.ok else "WRONG"
            print(f"{mark}  {finding.what:<{width}}  {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def dashboard(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than loopback, set a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8080,
    password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the password; by default the password is HPO_DASHBOARD_PASSWORD.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM certificate for TLS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Private key of --tls-cert.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse all changes.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Host name that a proxy uses; may be repeated."),
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Serve optuna-dashboard for the storage; by default only to this machine.

    Example:
        hpo dashboard --host 0.0.0.0 --password-file password.txt --tls-cert c.pem --tls-key k.pem
    """
    from hpo.dashboard.application import ServerSettings
    from hpo.dashboard.login import read_password
    from hpo.dashboard.server import serve
    from hpo.files.store import ArtifactStore

    settings = ServerSettings(
        host=host,
        port=port,
        password=read_password(password_file, os.environ.get("HPO_DASHBOARD_PASSWORD")),
        certificate=tls_cert,
        key=tls_key,
        read_only=read_only,
        allowed_hosts=tuple(allow_host or ()),
    )
    has_store = artifacts != DEFAULT_ARTIFACTS or Path(artifacts).is_dir()
    store = ArtifactStore(artifacts, create=False) if has_store else None
    serve(storage, store, settings)


def _relative(table: str, base: Path) -> str:
    """The table's path relative to the study file's folder if it is below it, else absolute."""
    if not Path(table).exists():
        return table
    path, folder = Path(table).resolve(), base.resolve()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
