"""The proof that exported files predict as the model does, on held and on awkward rows.

Differences are of probabilities or, in a regression, relative to the prediction or to the training
target's standard deviation, whichever is greater. `TOLERANCE` leaves room for float32's rounding,
which every runtime does in an order of its own: a sum of a few hundred products in each of a few
layers is right to about 1e-6. Where numbers are extreme, or a network magnifies small differences,
float32 is coarser, and by how much is measured: a file may be `SLACK` times as far from the model
as the model is, on such rows or on held ones, from itself computed in float64.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars
import torch

from hpo.config.errors import ExportError
from hpo.data.schema import Encoded, TableSchema
from hpo.models.awkward import Columns, Group, groups
from hpo.models.loading import load_model
from hpo.models.model import Model, Predictor
from hpo.training.metrics import predictions

TOLERANCE = 1e-5
SLACK = 10.0
N_HELD = 256


class Outputs(NamedTuple):
    """Predictions: (rows, 1) values or (rows, n_classes) probabilities, and labels of classes."""

    values: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was compared.

    Attributes:
        n_rows: by kind of row.
        largest: the largest difference by file, and within that by kind of row.
        versions: of the runtimes.
    """

    n_rows: dict[str, int]
    largest: dict[str, dict[str, float]]
    tolerance: float
    versions: dict[str, str]


def prove(model: Predictor, folder: Path, held: polars.DataFrame) -> Proof:
    """Compare the files of a folder with the model that they were made of.

    Args:
        model: in memory.
        folder: holds `model.safetensors`, `model.onnx` and perhaps `model.pt2`.
        held: raw rows that training did not see, one at least.

    Raises:
        ExportError: a file predicts something else; the message says where, and how far.
    """
    import onnxruntime

    bounded = model.is_bounded
    kinds, rows = groups(model.schema, held, bounded=bounded)
    encoded = model.schema.encode(_frame(model.schema, rows))
    expected = _outputs(model.schema, model.outputs(*encoded))
    scale = np.maximum(np.abs(expected.values), _unit(model))
    allowed = _allowed(model, kinds, encoded, expected.values, scale)
    readers: dict[str, Callable[[Path], Outputs]] = {
        "model.safetensors": lambda file: by_torch(model, file, rows, encoded),
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
    """As `hpo predict` does it; a schema equal to the model's encodes rows as that does."""
    loaded = load_model(file)
    if loaded.schema != model.schema:
        encoded = loaded.schema.encode(_frame(loaded.schema, rows))
    return _outputs(loaded.schema, loaded.outputs(*encoded))


def by_onnx(model: Predictor, file: Path, rows: Columns) -> Outputs:
    """By ONNX Runtime, on the processor."""
    import onnxruntime

    from hpo.models.onnx import input_names

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    feeds = {name: rows[column][:, None] for column, name in input_names(model.schema).items()}
    prediction, *rest = session.run(None, feeds)
    return Outputs(rest[0], prediction) if rest else Outputs(prediction[:, None], None)


def by_program(model: Predictor, file: Path, encoded: Encoded) -> Outputs:
    """By the program of `torch.export`, whose inputs are encoded rows."""
    from hpo.models.program import read

    return _outputs(model.schema, read(file)(*encoded))


def _outputs(schema: TableSchema, outputs: torch.Tensor) -> Outputs:
    """Outputs of a model, and the labels that they stand for."""
    values = outputs.reshape(len(outputs), -1).numpy()
    classes = schema.label_values().to_numpy()
    return Outputs(values, classes[values.argmax(axis=1)] if len(classes) else None)


def _frame(schema: TableSchema, rows: Columns) -> polars.DataFrame:
    frame = polars.DataFrame(
        {name: v.tolist() if v.dtype == object else v for name, v in rows.items()}
    )
    dates = polars.col([column.name for column in schema.dates])
    times = dates.fill_nan(None).cast(polars.Int64).cast(polars.Datetime("us"))
    return frame.with_columns(times) if schema.dates else frame


def _unit(model: Predictor) -> float:
    """What a difference is measured by where predictions are near zero."""
    if model.schema.task != "regression":
        return 1.0
    return max(part.target_std for _, part in model.parts)


def _allowed(
    model: Predictor, kinds: list[Group], encoded: Encoded, values: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """How far each row's predictions may be off, relative to the scale."""
    drift = np.abs(_in_float64(model, *encoded) - values) / scale
    measurable = np.where(np.isfinite(drift), drift, 0.0).max(axis=1)
    held, *_ = spans = _spans(kinds)
    coarse = [max(measurable[held].max(), measurable[span].max()) for span in spans]
    by_row = np.repeat(coarse, [len(group) for group in kinds])
    by_row[~np.isfinite(drift).all(axis=1)] = np.inf  # float32 overflows: nothing can agree
    return np.maximum(TOLERANCE, SLACK * by_row)


def _in_float64(model: Predictor, x_num: torch.Tensor, x_cat: torch.Tensor) -> np.ndarray:
    shares = [weight * _exactly(part, x_num, x_cat) for weight, part in model.parts]
    mixed = reduce(torch.add, shares)
    return mixed.reshape(len(mixed), -1).numpy()


@torch.inference_mode()
def _exactly(model: Model, x_num: torch.Tensor, x_cat: torch.Tensor) -> torch.Tensor:
    preprocessor = copy.deepcopy(model.preprocessor).double()
    logits = copy.deepcopy(model.network).double().eval()(preprocessor(x_num, x_cat))
    return predictions(model.schema.task, logits, model.target_mean, model.target_std)


def _apart(model: Predictor, expected: Outputs, found: Outputs) -> np.ndarray:
    """(rows, outputs) distances; where labels differ, at least how clear the right one was."""
    if found.values.shape != expected.values.shape:
        raise ExportError(
            f"predictions have shape {found.values.shape}, not {expected.values.shape}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(found.values.astype("f8") - expected.values)
        in_float32 = expected.values.astype("f4")  # which a file computes in
    alike = ~np.isfinite(found.values) & ~np.isfinite(in_float32)
    apart = np.where(alike, 0.0, np.where(np.isnan(apart), np.inf, apart))
    if expected.labels is not None and found.labels is not None:
        place = {label: index for index, label in enumerate(model.schema.label_values())}
        for row in np.flatnonzero(expected.labels != found.labels):
            best, other = place[expected.labels[row]], place[found.labels[row]]
            lead = expected.values[row, best] - expected.values[row, other]
            apart[row, best] = max(apart[row, best], lead / 2)
    return apart


def _check(file: str, kinds: list[Group], far: np.ndarray, allowed: np.ndarray) -> None:
    excess = far.max(axis=1) / allowed
    row = int(np.argmax(excess))
    if excess[row] > 1:
        group = next(g for g, span in zip(kinds, _spans(kinds), strict=True) if row < span.stop)
        raise ExportError(
            f"{file} does not predict as the model does: with {group.where} it is off by "
            f"{far[row].max():.3g}, where {allowed[row]:.3g} is allowed"
        )


def _by_kind(kinds: list[Group], far: np.ndarray) -> dict[str, float]:
    largest: dict[str, float] = {}
    for group, span in zip(kinds, _spans(kinds), strict=True):
        largest[group.kind] = max(largest.get(group.kind, 0.0), float(far[span].max()))
    return largest


def _spans(kinds: list[Group]) -> list[slice]:
    """Where the rows of each group are among all."""
    ends: Any = np.cumsum([len(group) for group in kinds]).tolist()
    return [slice(end - len(group), end) for group, end in zip(kinds, ends, strict=True)]
