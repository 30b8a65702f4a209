"""Commands for models and results: export, refit, predict, train, report."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import (
    DEFAULT_ARTIFACTS,
    DEFAULT_STORAGE,
    ArtifactsUrl,
    EnsembleSize,
    StorageUrl,
    StudyName,
    TableSource,
    load_artifacts,
)
from hpo.cli.output import print_json, say
from hpo.config.errors import (
    InputError,
    StorageError,
    StorageUnavailableError,
    StudyNotFoundError,
)
from hpo.files.durable import replacing, writing

if TYPE_CHECKING:
    from hpo.models.model import Predictor

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:1.")]


def export(
    name: StudyName,
    out: Annotated[Path, typer.Option(help="Folder to export to.")],
    top: Annotated[int, typer.Option(min=1, help="Configurations to export.")] = 1,
    trial: Annotated[
        list[int] | None, typer.Option(help="Trial to export instead; may be repeated.")
    ] = None,
    ensemble: EnsembleSize = 0,
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
    from hpo.cli.show import print_exported
    from hpo.results.export import export as write

    exported = write(
        load_artifacts(name, storage, artifacts),
        out,
        top=top,
        numbers=trial or (),
        ensemble=ensemble,
        torch_program=torch_export,
    )
    print_exported(exported)


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
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FOLDER",
            help="A study, a folder of exported models, or the folder of one model.",
        ),
    ],
    table: TableSource,
    out: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file; by default CSV to stdout.")
    ] = None,
    storage: StorageUrl = DEFAULT_STORAGE,
    artifacts: ArtifactsUrl = DEFAULT_ARTIFACTS,
) -> None:
    """Predict each row of a table of raw values, whose columns may be in any order.

    Of a folder with several exported models, the best one on validation predicts. The name of a
    study means the folder winners/NAME or, if nothing but refits was exported there, the best
    trial or ensemble in the storage.

    Examples:
        hpo predict houses rows.csv --out predictions.csv
        hpo predict winners/houses/trial-00017 rows.csv
    """
    from hpo.data.notes import prediction_notes
    from hpo.data.sources import read_raw, write_parquet
    from hpo.models.loading import load_exported

    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise InputError(f"--out must end in .csv or .parquet, but got {out}")
    predictor, which = load_exported(model) or _load_from_storage(model, storage, artifacts)
    if which:
        say(which)
    raw = read_raw(table, Path(), may_be_empty=True)
    predictions = predictor.predict(raw.frame, raw.where)
    for note in (*raw.notes, *prediction_notes(predictor.schema, raw.frame)):
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


def _load_from_storage(name: str, storage: str, artifacts: str) -> "tuple[Predictor, str]":
    """The best trial or ensemble of a study, and a line that says which one it is.

    Raises:
        InputError: there is no such study.
    """
    from hpo.models.comparison import objective_text
    from hpo.models.experiment import load_experiment
    from hpo.results.ensemble import compare

    try:
        loaded = load_artifacts(name, storage, artifacts)
    except StorageUnavailableError:
        raise
    except (StorageError, StudyNotFoundError) as error:
        raise InputError(
            f"{name}: holds no exported model, nor does winners/{name}; {error}"
        ) from None
    experiment = load_experiment(loaded.store, loaded.study.definition.data)
    compared = compare(loaded, experiment)
    best = compared.best
    which = compared.name if best is compared.single else f"the {compared.ensemble.text}"
    return best, f"predicting with {which} of study {name}: {objective_text(best)}"


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
