"""Commands that deal in models: export, predict, train."""

import sys
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
from hpo.errors import InputError

ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="An exported trial's folder.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(export)
    app.command()(predict)
    app.command()(train)


def export(
    name: StudyName,
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the best.")] = 1,
    trial: Annotated[
        list[int] | None, typer.Option("--trial", help="This trial instead; may be repeated.")
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Write the winners' folders: weights with preprocessing, configuration, metrics, model card.

    Example:
        hpo export california-housing --top 3 --out winners
    """
    from hpo.artifacts import ArtifactStore
    from hpo.results.export import export as write

    study = opened(name, storage)
    store = ArtifactStore(artifacts, create=False)
    for folder in write(study, store, out, top=top, numbers=trial or ()):
        print(folder)


def predict(
    model_dir: ModelDir,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, TSV or Parquet, or a URL.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV or Parquet file; by default CSV to stdout.")
    ] = None,
) -> None:
    """Predict on raw rows, in any column order, row for row.

    Example:
        hpo predict winners/trial-00017 rows.csv --out predictions.csv
    """
    from hpo.bundle import load_model
    from hpo.data.sources import read_table

    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out must end in .csv or .parquet, but got {out}")
    model = load_model(model_dir)
    predictions = model.predict(read_table(table, Path(), may_be_empty=True))
    try:
        if out is None:
            sys.stdout.write(predictions.write_csv())
        elif out.suffix == ".csv":
            predictions.write_csv(out)
        else:
            predictions.write_parquet(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="A trial's configuration.")],
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Instead of its own.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")] = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the trained model.")] = None,
) -> None:
    """Train one configuration, without a database; print its metrics as JSON.

    On the same kind of device, with the same torch, it repeats the trial bit for bit; one that was
    trained among others (--slots) but for rounding.

    Example:
        hpo train winners/trial-00017/config.toml --seed 1 --out again
    """
    import json

    from hpo.launch.single import train_config
    from hpo.results.export import check_replaceable, write_model

    if out is not None:
        check_replaceable(out)
    model, metrics = train_config(config, seed=seed, device=device, log=_log)
    if out is not None:
        write_model(out, model, metrics, out.name, f"Trained from {config.name} by `hpo train`.")
        _log(str(out))
    print(json.dumps(metrics, indent=2))


def _log(line: str) -> None:
    print(line, file=sys.stderr)
