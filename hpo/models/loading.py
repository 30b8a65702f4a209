"""Loads model files of every format."""

from pathlib import Path

from hpo.config.errors import InputError
from hpo.models.content import ENSEMBLE, MODEL, deserialize
from hpo.models.ensemble import Ensemble
from hpo.models.model import Model, Predictor


def load_model(path: str | Path) -> Predictor:
    """Load an exported model or ensemble from its folder or file.

    Raises:
        InputError: the file is missing or is no model.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "model.safetensors"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    _, header = deserialize(content, str(file), MODEL, ENSEMBLE)
    kind = Ensemble if header["format"] == str(ENSEMBLE) else Model
    return kind.from_bytes(content, str(file))
