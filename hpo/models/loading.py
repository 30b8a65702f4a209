"""Loads model files of every format."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpo.config.errors import InputError
from hpo.models.comparison import best_of, objective, objective_text
from hpo.models.content import ENSEMBLE, FOLDS, MODEL, deserialize
from hpo.models.ensemble import Ensemble, FoldEnsemble
from hpo.models.model import Model, Predictor

_WEIGHTS = "model.safetensors"
_KINDS: dict[int, type[Model | FoldEnsemble | Ensemble]] = {
    MODEL: Model,
    FOLDS: FoldEnsemble,
    ENSEMBLE: Ensemble,
}
"""What a file of each format holds."""


class OnlyRefitsError(InputError):
    """A folder of exported models holds only refits, which cannot be compared."""


def load_model(path: str | Path) -> Predictor:
    """Load an exported model or ensemble from its folder or file.

    Raises:
        InputError: the file is missing or is no model.
    """
    file = Path(path)
    if file.is_dir():
        file = file / _WEIGHTS
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


def exported_folders(folder: Path) -> list[Path]:
    """The folders of exported models in a folder."""
    return sorted(file.parent for file in folder.glob(f"[!.]*/{_WEIGHTS}"))  # drafts are hidden


def load_best(folders: Sequence[Path]) -> tuple[Predictor, str]:
    """Load the model that is the best on validation; of equals a single model.

    Refits are left out, since they have no validation metrics.

    Args:
        folders: of exported models of one study, at least one.

    Returns:
        The model, and a line that says which one it is.

    Raises:
        OnlyRefitsError: all are refits.
        InputError: the models are of different tables or metrics, or a file is no model.
    """
    found = {path: load_model(path) for path in folders}
    found = {path: each for path, each in found.items() if each.metrics}  # refits have none
    if not found:
        raise OnlyRefitsError(
            f"{folders[0].parent}: holds only refits, which have no validation metrics; name one "
            f"of its folders: {', '.join(path.name for path in folders)}"
        )
    trained_on = {
        (replace(each.parts[0][1].config.data, source=""), objective(each))
        for each in found.values()
    }
    if len(trained_on) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(
            f"{folders[0].parent}: holds models of different tables or metrics, which cannot be "
            f"compared; name one of its folders: {names}"
        )
    best = best_of(*sorted(found.values(), key=lambda each: isinstance(each, Ensemble)))
    (path,) = (path for path, each in found.items() if each is best)
    among = f", the best of {len(found)} models" if len(found) > 1 else ""
    return best, f"predicting with {path}: {objective_text(best)}{among}"
