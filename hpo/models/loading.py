"""Loads model files of every format, and chooses among exported models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hpo.config.definition import check_name
from hpo.config.errors import InputError
from hpo.files.store import WEIGHTS
from hpo.models.comparison import best_of, objective, objective_text
from hpo.models.content import ENSEMBLE, FOLDS, MODEL, deserialize
from hpo.models.ensemble import Ensemble, FoldEnsemble
from hpo.models.model import Model, Predictor

_KINDS: dict[int, type[Model | FoldEnsemble | Ensemble]] = {
    **dict.fromkeys(MODEL, Model),
    **dict.fromkeys(ENSEMBLE, Ensemble),
    **dict.fromkeys(FOLDS, FoldEnsemble),
}
"""What a file of each format holds."""


def load_model(path: str | Path) -> Predictor:
    """Load an exported model or ensemble from its folder or file.

    Raises:
        InputError: the file is missing or is no model.
    """
    file = Path(path)
    if file.is_dir():
        file = file / WEIGHTS
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    return read_model(content, str(file))


def read_model(content: bytes, where: str) -> Model | FoldEnsemble | Ensemble:
    """Read the content of a model file.

    Raises:
        InputError: the content is no model, or has a newer format.
    """
    _, header = deserialize(content, where, *_KINDS)
    return _KINDS[int(header["format"])].from_bytes(content, where)


def load_exported(name: str) -> tuple[Predictor, str] | None:
    """Load the model that predicts for a model file, a folder or the name of a study.

    Args:
        name: a file or folder of a model, or a folder of several; or a study, whose folder is
            `winners/NAME`.

    Returns:
        The model, and a line that says which of several it is, empty if the name says it. None for
        the name of a study without exported models to choose from.

    Raises:
        InputError: the name is neither, its folder holds only refits, the models cannot be
            compared, or a file is no model.
    """
    path = Path(name)
    if path.is_file() or (path / WEIGHTS).is_file():
        return load_model(path), ""
    if folders := exported_folders(path):
        if models := load_comparable(folders):
            return best_exported(models)
        raise InputError(
            f"{path}: holds only refits, which have no validation metrics; name one of its "
            f"folders: {', '.join(folder.name for folder in folders)}"
        )
    if models := load_comparable(exported_folders(Path("winners", name))):
        return best_exported(models)
    try:
        check_name(name)
    except ValueError:
        return load_model(path), ""  # its message says which file is missing
    return None


def exported_folders(folder: Path) -> list[Path]:
    """The folders of exported models in a folder."""
    return sorted(file.parent for file in folder.glob(f"[!.]*/{WEIGHTS}"))  # drafts are hidden


def load_comparable(folders: Sequence[Path]) -> dict[Path, Predictor]:
    """Load the models of folders, except refits: those have no validation metrics.

    Raises:
        InputError: a file is no model.
    """
    found = {folder: load_model(folder) for folder in folders}
    return {folder: model for folder, model in found.items() if model.metrics}


def best_exported(models: Mapping[Path, Predictor]) -> tuple[Predictor, str]:
    """The model that is the best on validation; of equals a single model.

    Args:
        models: by their folders, all in one folder; at least one.

    Returns:
        The model, and a line that says which one it is.

    Raises:
        InputError: the models are of different tables or metrics.
    """
    trained_on = {
        (replace(each.parts[0][1].config.data, source=""), objective(each))
        for each in models.values()
    }
    if len(trained_on) > 1:
        names = ", ".join(path.name for path in models)
        raise InputError(
            f"{next(iter(models)).parent}: holds models of different tables or metrics, which "
            f"cannot be compared; name one of its folders: {names}"
        )
    best = best_of(*sorted(models.values(), key=lambda each: isinstance(each, Ensemble)))
    (path,) = (path for path, each in models.items() if each is best)
    among = f", the best of {len(models)} models" if len(models) > 1 else ""
    return best, f"predicting with {path}: {objective_text(best)}{among}"
