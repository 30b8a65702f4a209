"""Commands for models and results: export, refit, predict, train, report."""

import signal
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
    TableSource,
    load_artifacts,
)
from hpo.cli.output import print_json, say
from hpo.config.errors import InputError
from hpo.files.durable import replacing, writing

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]
ModelDir = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="Folder of an exported model.")]


def export(
    name: StudyName,
    out: Annotated[Path, typer.Option(help="Folder to export to.")],
    top: Annotated[int, typer.Option(min=1, help="Configurations to export.")] = 1,
    trial: Annotated[
        list[int] | None, typer.Option(help="Trial to export instead; may be repeated.")
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Also export an ensemble of up to K members, selected on the validation part.",
        ),
    ] = None,
    torch_export: Annotated[
        bool, typer.Option("--torch-export", help="Also write model.pt2, a torch.export program.")
    ] = False,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Export the best trials: weights with preprocessing, configuration, metrics, model card.

    Each folder has the model in two formats: model.safetensors for hpo, and
    model.onnx, which takes raw columns and needs only onnxruntime. Both are
    first checked to predict as the trained model does, on held-out rows and on
    difficult ones (missing values, unseen categories, extreme numbers).

    Examples:
        hpo export california-housing --top 3 --out winners
        hpo export california-housing --ensemble 8 --out winners
        hpo export california-housing --trial 17 --torch-export --out winners
    """
    from hpo.results.export import export as write

    folders = write(
        load_artifacts(name, storage, artifacts),
        out,
        top=top,
        numbers=trial or (),
        ensemble=ensemble,
        torch_program=torch_export,
    )
    for folder in folders:
        print(folder)


def refit(
    name: StudyName,
    trial: Annotated[
        int | None, typer.Option(help="Trial to refit; by default the leaderboard's first.")
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Refit an ensemble of up to K members, selected on the validation part.",
        ),
    ] = None,
    device: Device = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder to write into; by default winners/NAME.")
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Train the best trial again, on its training and validation rows together.

    The training has as many epochs as the trial needed. Only test rows are left
    to measure it. The folder is like one of hpo export, and hpo train repeats its
    config.toml. If the command is interrupted, nothing is written; run it again.

    Examples:
        hpo refit california-housing
        hpo refit california-housing --ensemble 8 --out winners
    """
    from hpo.launch.refit import refit as write

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    folder = write(
        load_artifacts(name, storage, artifacts),
        out or Path("winners") / name,
        trial=trial,
        ensemble=ensemble,
        device=device,
        log=say,
    )
    print(folder)


def predict(
    model_dir: Annotated[Path, typer.Argument(help="Folder of an exported model.")],
    table: TableSource,
    out: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file; by default CSV to stdout.")
    ] = None,
) -> None:
    """Predict each row of a table of raw values, whose columns may be in any order.

    Example:
        hpo predict winners/trial-00017 rows.csv --out predictions.csv
    """
    from hpo.data.notes import prediction_notes
    from hpo.data.sources import read_raw, write_parquet
    from hpo.models.loading import load_model

    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out must end in .csv or .parquet, but got {out}")
    model = load_model(model_dir)
    raw = read_raw(table, Path(), may_be_empty=True)
    predictions = model.predict(raw.frame, raw.where)
    for note in (*raw.notes, *prediction_notes(model.schema, raw.frame)):
        say(f"{raw.where}: {note}")
    with writing(str(out or "standard output")):
        if out is None:
            sys.stdout.write(predictions.write_csv())
            return
        target = out.resolve() if out.is_symlink() else out
        with replacing(target, target.parent) as file:
            if out.suffix == ".csv":
                predictions.write_csv(file)
            else:
                write_parquet(predictions, file)


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="A trial's configuration.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Overrides its seed.")] = None,
    device: Device = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for the trained model.")] = None,
) -> None:
    """Train one configuration without a storage, and print its metrics as JSON.

    On the same kind of device with the same torch version, the result equals the trial's to the
    bit, or up to rounding if the trial was trained together with others (--slots).

    Example:
        hpo train winners/trial-00017/config.toml --seed 1 --out again
    """
    from hpo.launch.single import train_config
    from hpo.models.folder import check_replaceable, write_model
    from hpo.models.proof import N_HELD

    if out is not None:
        check_replaceable(out)
    done = train_config(config, seed=seed, device=device, log=say)
    if out is not None:
        note = f"Trained from {config.name} by `hpo train`."
        held = done.experiment.held_rows(N_HELD)
        write_model(out, done.model, done.metrics, out.name, note, held=held)
        say(str(out))
    print_json(done.metrics)


def report(
    name: StudyName,
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.html.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows of the leaderboard.")] = 10,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Write a study's report as one HTML file that opens offline.

    It compares the best trial with the default configuration and with gradient boosting and a
    linear model of scikit-learn, fitted on the same split.

    Example:
        hpo report california-housing --out report.html
    """
    from hpo.results.report.page import write_report

    loaded = load_artifacts(name, storage, artifacts)
    print(write_report(loaded, out or Path(f"{name}.html"), top=top))
