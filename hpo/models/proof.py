"""The proof that exported files predict like the model, on held-out and on awkward rows.

Differences are absolute for probabilities. In a regression they are relative to the prediction or
to the training target's standard deviation, whichever is greater. `TOLERANCE` allows for rounding
in float32, whose order differs between runtimes: a sum of a few hundred products in each of a few
layers is accurate to about 1e-6. Extreme numbers, or a network that amplifies small differences,
make the rounding error larger. It is measured as the difference between the model in float32 and in
float64, on held-out rows and on rows of the same kind; a file may differ by `SLACK` times as much.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars
import torch

from hpo.config.errors import ExportError
from hpo.data.schema import Encoded, TableSchema
from hpo.files.store import WEIGHTS
from hpo.models.awkward import Columns, Group, groups
from hpo.models.loading import load_model
from hpo.models.model import Predictor
from hpo.models.program import PredictorModule, read_program

TOLERANCE = 1e-5
SLACK = 10.0
N_HELD = 256


class Outputs(NamedTuple):
    """Predictions: (rows, 1) values or (rows, n_classes) probabilities, and labels if any."""

    values: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The comparison of exported files with the model.

    Attributes:
        n_rows: number of rows by kind of row.
        largest: largest difference by file and by kind of row.
        versions: of the runtimes.
    """

    n_rows: dict[str, int]
    largest: dict[str, dict[str, float]]
    tolerance: float
    versions: dict[str, str]


def prove(model: Predictor, folder: Path, held: polars.DataFrame) -> Proof:
    """Compare the files of a folder with the model that they were written from.

    Args:
        model: in memory.
        folder: holds `model.safetensors`, `model.onnx` and perhaps `model.pt2`.
        held: at least one raw row, if possible one that training did not see.

    Raises:
        ExportError: a file predicts something else; the message has the kind of row and the
            difference.
    """
    import onnxruntime

    bounded = model.is_bounded
    kinds, rows = groups(model.schema, held, bounded=bounded)
    encoded = model.schema.encode(_frame(model.schema, rows))
    expected = _outputs(model, model.outputs(*encoded))
    scale = np.maximum(np.abs(expected.values), _unit(model))
    allowed = _allowed(model, kinds, encoded, expected.values, scale)
    readers: dict[str, Callable[[Path], Outputs]] = {
        WEIGHTS: lambda file: by_torch(model, file, rows, encoded),
        "model.onnx": lambda file: by_onnx(model, file, rows),
        "model.pt2": lambda file: by_program(model, file, encoded),
    }
    largest = {}
    for name, read in readers.items():
        if (folder / name).exists():
            far = _apart(model, expected, read(folder / name)) / scale
            _check(name, kinds, far, allowed)
            largest[name] = _by_kind(kinds, far)
    n_rows: dict[str, int] = {}
    for group in kinds:
        n_rows[group.kind] = n_rows.get(group.kind, 0) + len(group)
    versions = {"torch": str(torch.__version__), "onnxruntime": onnxruntime.__version__}
    return Proof(n_rows=n_rows, largest=largest, tolerance=TOLERANCE, versions=versions)


def by_torch(model: Predictor, file: Path, rows: Columns, encoded: Encoded) -> Outputs:
    """Predict like `hpo predict`; rows are encoded again only if the loaded schema differs."""
    loaded = load_model(file)
    if loaded.schema != model.schema:
        encoded = loaded.schema.encode(_frame(loaded.schema, rows))
    return _outputs(loaded, loaded.outputs(*encoded))


def by_onnx(model: Predictor, file: Path, rows: Columns) -> Outputs:
    """Predict by ONNX Runtime on the CPU."""
    import onnxruntime

    from hpo.models.onnx import input_names

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feeds = {name: rows[column][:, None] for column, name in input_names(model.schema).items()}
    prediction, *rest = session.run(None, feeds)
    return Outputs(rest[0], prediction) if rest else Outputs(prediction[:, None], None)


def by_program(model: Predictor, file: Path, encoded: Encoded) -> Outputs:
    """Predict by the program of `torch.export`, whose inputs are encoded rows."""
    found = read_program(file)(*encoded)
    if isinstance(found, torch.Tensor):
        return _outputs(model, found)
    probabilities, classes = found
    labels = model.schema.label_values().to_numpy()[classes.numpy()]
    return Outputs(probabilities.numpy(), labels)


def _outputs(model: Predictor, outputs: torch.Tensor) -> Outputs:
    """Outputs of a model with their labels."""
    values = outputs.reshape(len(outputs), -1).numpy()
    classes = model.schema.label_values().to_numpy()
    return Outputs(values, classes[model.predicted_classes(outputs)] if len(classes) else None)


def _frame(schema: TableSchema, rows: Columns) -> polars.DataFrame:
    frame = polars.DataFrame(
        {name: v.tolist() if v.dtype == object else v for name, v in rows.items()}
    )
    dates = polars.col([column.name for column in schema.dates])
    times = dates.fill_nan(None).cast(polars.Int64).cast(polars.Datetime("us"))
    return frame.with_columns(times) if schema.dates else frame


def _unit(model: Predictor) -> float:
    """Scale of differences where predictions are near zero."""
    if model.schema.task != "regression":
        return 1.0
    return max(part.scale.unit for _, part in model.parts)


def _allowed(
    model: Predictor, kinds: list[Group], encoded: Encoded, values: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Largest allowed difference of each row's predictions, relative to the scale."""
    drift = np.abs(_in_float64(model, encoded) - values) / scale
    measurable = np.where(np.isfinite(drift), drift, 0.0).max(axis=1)
    held, *_ = spans = _spans(kinds)
    coarse = [max(measurable[held].max(), measurable[span].max()) for span in spans]
    by_row = np.repeat(coarse, [len(group) for group in kinds])
    by_row[~np.isfinite(drift).all(axis=1)] = np.inf  # float32 overflows, so nothing can agree
    return np.maximum(TOLERANCE, SLACK * by_row)


@torch.inference_mode()
def _in_float64(model: Predictor, encoded: Encoded) -> np.ndarray:
    exact: torch.Tensor = copy.deepcopy(PredictorModule(model)).double().eval()(*encoded)
    return exact.reshape(len(exact), -1).numpy()


def _apart(model: Predictor, expected: Outputs, found: Outputs) -> np.ndarray:
    """(rows, outputs) differences; at least the right label's margin where labels differ.

    It is half its lead over the other label, or the distance from the threshold.
    """
    if found.values.shape != expected.values.shape:
        raise ExportError(
            f"predictions have shape {found.values.shape}, not {expected.values.shape}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(found.values.astype("f8") - expected.values)
        in_float32 = expected.values.astype("f4")  # the type of the exported files
    alike = ~np.isfinite(found.values) & ~np.isfinite(in_float32)
    apart = np.where(alike, 0.0, np.where(np.isnan(apart), np.inf, apart))
    if expected.labels is not None and found.labels is not None:
        place = {label: index for index, label in enumerate(model.schema.label_values())}
        for row in np.flatnonzero(expected.labels != found.labels):
            best, other = place[expected.labels[row]], place[found.labels[row]]
            margin = (expected.values[row, best] - expected.values[row, other]) / 2
            if model.calibration.threshold is not None:
                margin = abs(expected.values[row, 1] - model.calibration.threshold)
            apart[row, best] = max(apart[row, best], margin)
    return apart


def _check(file: str, kinds: list[Group], far: np.ndarray, allowed: np.ndarray) -> None:
    excess = far.max(axis=1) / allowed
    row = int(np.argmax(excess))
    if excess[row] > 1:
        group = next(g for g, span in zip(kinds, _spans(kinds), strict=True) if row < span.stop)
        raise ExportError(
            f"{file} does not predict like the model: with {group.where} the difference is "
            f"{far[row].max():.3g}, and at most {allowed[row]:.3g} is allowed"
        )


def _by_kind(kinds: list[Group], far: np.ndarray) -> dict[str, float]:
    largest: dict[str, float] = {}
    for group, span in zip(kinds, _spans(kinds), strict=True):
        largest[group.kind] = max(largest.get(group.kind, 0.0), float(far[span].max()))
    return largest


def _spans(kinds: list[Group]) -> list[slice]:
    """The slice of each group's rows."""
    ends: Any = np.cumsum([len(group) for group in kinds]).tolist()
    return [slice(end - len(group), end) for group, end in zip(kinds, ends, strict=True)]
