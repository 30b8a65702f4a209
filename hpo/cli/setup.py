"""Commands around a search: init, schema, doctor, dashboard."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    AsJson,
    StorageUrl,
)
from hpo.config.errors import InputError


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(init)
    app.command()(schema)
    app.command()(doctor)
    app.command()(dashboard)


def init(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet, or a URL.")],
    target: Annotated[str, typer.Option("--target", metavar="COLUMN", help="What to predict.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; by default to stdout.")
    ] = None,
) -> None:
    """Write a study file for a table, from what the table holds.

    Example:
        hpo init houses.csv --target price --out houses.toml
    """
    from hpo.lifecycle.draft import draft

    base = Path() if out is None else out.parent
    text = draft(_relative(table, base), target, base)
    if out is None:
        print(text, end="")
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{out}: exists already; name another file by --out") from None
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from None
    print(out)


def schema(
    search_space: Annotated[
        bool, typer.Option("--search-space", help="That of search-space files.")
    ] = False,
) -> None:
    """Print the JSON Schema of study files, which editors complete and check them by.

    Example:
        hpo schema > study.schema.json
    """
    from hpo.config.json_schema import search_space_schema, study_schema

    print(json.dumps(search_space_schema() if search_space else study_schema(), indent=2))


def doctor(
    as_json: AsJson = False,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Workers that the storage is to have room for.")
    ] = 1,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Say what this machine can do, and what is wrong with the setup.

    Ends with code 1 when something is.

    Example:
        hpo doctor --storage postgresql://me@db/hpo --workers 64
    """
    from hpo.launch.doctor import examine

    findings = examine(storage, artifacts, workers)
    if as_json:
        print(json.dumps([{**vars(finding)} for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            mark = "ok   " if finding.ok else "WRONG"
            print(f"{mark}  {finding.what:<{width}}  {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def dashboard(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; beyond loopback needs a password.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")
    ] = 8080,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file", metavar="FILE", help="The password; else HPO_DASHBOARD_PASSWORD."
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="A PEM certificate, for TLS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name by which a proxy calls it."),
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Serve optuna-dashboard for the storage, on this machine alone unless told otherwise.

    Example:
        hpo dashboard --host 0.0.0.0 --password-file password.txt --tls-cert c.pem --tls-key k.pem
    """
    import os

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
    """The table's path as a study file in `base` names it."""
    path = Path(table)
    if not path.exists():
        return table
    try:
        return str(path.resolve().relative_to(base.resolve()))
    except ValueError:
        return str(path.resolve())
