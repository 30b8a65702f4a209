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
from hpo.config.errors import InputError

ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="An exported trial's folder.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(export)
    app.command()(predict)
    app.command()(train)


def export(
    name: StudyName,
    out: Annotated[Path, typer.Option("--out", help="The folder to write into.")],
    top: Annotated[int, typer.Option("--top", min=1, help="How many configurations.")] = 1,
    trial: Annotated[
        list[int] | None, typer.Option("--trial", help="This trial instead; may be repeated.")
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(
            "--ensemble",
            metavar="K",
            help="Also an ensemble of up to K members, chosen by validation from all trials.",
        ),
    ] = None,
    torch_export: Annotated[
        bool, typer.Option("--torch-export", help="Also model.pt2, a program of torch.export.")
    ] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Write the winners' folders: weights with preprocessing, configuration, metrics, model card.

    Each has the model twice: model.safetensors for hpo, and model.onnx, which
    takes raw columns and needs onnxruntime alone. Before a folder appears both
    are run on held-out and on awkward rows (missing values, unseen categories,
    extreme numbers), and must predict as the trained model does.

    Examples:
        hpo export california-housing --top 3 --out winners
        hpo export california-housing --ensemble 8 --out winners
        hpo export california-housing --trial 17 --torch-export --out winners
    """
    from hpo.files.store import ArtifactStore
    from hpo.results.export import export as write

    study = opened(name, storage)
    store = ArtifactStore(artifacts, create=False)
    folders = write(
        study,
        store,
        out,
        top=top,
        numbers=trial or (),
        ensemble=ensemble,
        torch_program=torch_export,
    )
    for folder in folders:
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
    from hpo.data.notes import prediction_notes
    from hpo.data.sources import read_raw, write_parquet
    from hpo.files.durable import replacing
    from hpo.models.loading import load_model

    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out must end in .csv or .parquet, but got {out}")
    model = load_model(model_dir)
    raw = read_raw(table, Path(), may_be_empty=True)
    predictions = model.predict(raw.frame, raw.where)
    for note in (*raw.notes, *prediction_notes(model.schema, raw.frame)):
        _log(f"{raw.where}: {note}")
    try:
        if out is None:
            sys.stdout.write(predictions.write_csv())
            return
        target = out.resolve() if out.is_symlink() else out
        with replacing(target, target.parent) as file:
            if out.suffix == ".csv":
                predictions.write_csv(file)
            else:
                write_parquet(predictions, file)
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
    from hpo.models.folder import check_replaceable, write_model
    from hpo.models.proof import N_HELD

    if out is not None:
        check_replaceable(out)
    done = train_config(config, seed=seed, device=device, log=_log)
    if out is not None:
        note = f"Trained from {config.name} by `hpo train`."
        held = done.experiment.held_rows(N_HELD)
        write_model(out, done.model, done.metrics, out.name, note, held=held)
        _log(str(out))
    print(json.dumps(done.metrics, indent=2))


def _log(line: str) -> None:
    print(line, file=sys.stderr)
