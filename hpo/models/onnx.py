"""The ONNX graph of a predictor: raw columns in, predictions out, preprocessing inside.

The nodes do what `hpo.data.preprocessing` does, in the same order; the model's family adds the
network, by hand or by torch's exporter. The proof at export fails when the two differ.
"""

import json
import math

import numpy as np
import onnx
import torch
from onnx import helper

from hpo.config.version import __version__
from hpo.data.preprocessing import TINY, Preprocessor
from hpo.data.schema import Categories, TableSchema
from hpo.data.target import LabelType
from hpo.models.ensemble import FAINTEST
from hpo.models.model import Model, Predictor
from hpo.models.onnx_graph import ML, Graph
from hpo.training.families.family import family_of

FORMAT = 2
"""Format of the graph's inputs and outputs; raise it by one when their names or meaning change.

1: numbers are float, labels string. 2: numbers that need more digits than float are double, as are
dates, in microseconds since 1970 UTC; labels have the target's own type.
"""

OUTPUTS = ("prediction", "probabilities")
LABELS: dict[LabelType, tuple[str, int]] = {
    "text": ("O", onnx.TensorProto.STRING),
    "integer": ("i8", onnx.TensorProto.INT64),
    "number": ("f8", onnx.TensorProto.DOUBLE),
    "boolean": ("?", onnx.TensorProto.BOOL),
}
"""Types of labels: in numpy, and in ONNX."""


def to_onnx(model: Predictor) -> bytes:
    """The content of `model.onnx`; the same model gives the same bytes.

    Each column is an input `(rows, 1)`: float or double with NaN for missing values, double
    microseconds since 1970 UTC for a date, or string with "" for missing values. Outputs are
    `prediction`, `(rows,)`, and for classes `probabilities`, `(rows, n_classes)`.

    Raises:
        ExportError: the model is too large for an ONNX file.
    """
    schema = model.schema
    names = input_names(schema)
    graph = Graph(names.values())
    x_num, codes = _columns(graph, schema, names)
    mixed = _mixed(graph, model, x_num, codes)
    if schema.task == "regression":
        graph.add("Cast", mixed, name="prediction", to=_float_type(schema.target in schema.double))
    else:
        graph.add("Identity", mixed, name="probabilities")
        place = _predicted_classes(graph, model.calibration.threshold)
        labels = graph.constant(schema.label_values().to_numpy(), LABELS[schema.labels][0])
        graph.add("Gather", labels, place, name="prediction")
    inputs, outputs = _inputs(schema, names), _outputs(schema)
    return graph.to_bytes(inputs, outputs, _about(schema, names))


def input_names(schema: TableSchema) -> dict[str, str]:
    """Name of the graph's input for each column; "_" is appended to the name of an output."""
    columns = set(schema.columns)
    names: dict[str, str] = {}
    for column in schema.columns:
        name = column
        while name in OUTPUTS or (name != column and name in columns):
            name += "_"
        names[column] = name
    return names


def described_inputs(schema: TableSchema) -> dict[str, dict[str, str]]:
    """Name and type of the graph's input for each column."""
    exact = schema.exact
    kinds = {name: "double" if name in exact else "float" for name in schema.numbers}
    return {
        column: {"name": name, "type": kinds.get(column, "string")}
        for column, name in input_names(schema).items()
    }


def _float_type(is_double: bool) -> int:
    return int(onnx.TensorProto.DOUBLE if is_double else onnx.TensorProto.FLOAT)


def _inputs(schema: TableSchema, names: dict[str, str]) -> list[onnx.ValueInfoProto]:
    exact = schema.exact
    numbers = {names[name]: _float_type(name in exact) for name in schema.numbers}
    texts = {names[column.name]: onnx.TensorProto.STRING for column in schema.categorical}
    return [
        helper.make_tensor_value_info(name, kind, ["rows", 1])
        for name, kind in (numbers | texts).items()
    ]


def _outputs(schema: TableSchema) -> list[onnx.ValueInfoProto]:
    if schema.task == "regression":
        kind = _float_type(schema.target in schema.double)
        return [helper.make_tensor_value_info("prediction", kind, ["rows"])]
    shape: list[str | int | None] = ["rows", len(schema.classes)]
    return [
        helper.make_tensor_value_info("prediction", LABELS[schema.labels][1], ["rows"]),
        helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, shape),
    ]


def _about(schema: TableSchema, names: dict[str, str]) -> dict[str, str]:
    return {
        "format": str(FORMAT),
        "hpo": __version__,
        "task": schema.task,
        "target": schema.target,
        "classes": json.dumps(schema.classes, ensure_ascii=False),
        "inputs": json.dumps(names, ensure_ascii=False),
    }


def _columns(
    graph: Graph, schema: TableSchema, names: dict[str, str]
) -> tuple[str | None, str | None]:
    """`TableSchema.encode`: (rows, n_numbers) numbers and (rows, n_categorical) codes, if any."""
    exact = schema.exact
    x_num = [
        names[column]
        if column in exact
        else graph.add("Cast", names[column], to=onnx.TensorProto.DOUBLE)
        for column in schema.numbers
    ]
    codes = [_codes(graph, schema, column, names[column.name]) for column in schema.categorical]
    return _side_by_side(graph, x_num), _side_by_side(graph, codes)


def _codes(graph: Graph, schema: TableSchema, column: Categories, name: str) -> str:
    known = schema.spellings(column)
    return graph.add(
        "LabelEncoder",
        name,
        domain=ML,
        keys_strings=list(known),
        values_int64s=list(known.values()),
        default_int64=len(column.values),
    )


def _side_by_side(graph: Graph, columns: list[str]) -> str | None:
    return graph.add("Concat", *columns, axis=1) if columns else None


def _mixed(graph: Graph, model: Predictor, x_num: str | None, codes: str | None) -> str:
    """The weighted mean of the parts' predictions; equal preprocessing is computed once."""
    temperature, is_mean = model.calibration.temperature, not isinstance(model, Model)
    is_calibrated_mean = is_mean and temperature != 1
    features: list[tuple[Preprocessor, str]] = []
    outputs = []
    for weight, part in model.parts:
        found = [name for fitted, name in features if _is_same(fitted, part.preprocessor)]
        if not found:
            found = [_features(graph, part.preprocessor, x_num, codes)]
            features.append((part.preprocessor, found[0]))
            graph.n_features[found[0]] = part.preprocessor.n_features
        config = part.config.model
        logits = family_of(config).to_onnx(config, part.network, graph, found[0])
        if is_calibrated_mean:
            logits = graph.add("Cast", logits, to=onnx.TensorProto.DOUBLE)
        output = _predictions(graph, part, logits, 1.0 if is_mean else temperature)
        kind = "f8" if model.schema.task == "regression" or is_calibrated_mean else "f4"
        if weight != 1:
            output = graph.add("Mul", output, graph.constant(weight, kind))
        outputs.append(output)
    mixed = outputs[0]
    for output in outputs[1:]:
        mixed = graph.add("Add", mixed, output)
    if not is_calibrated_mean:
        return mixed
    logits = graph.add("Log", graph.add("Max", mixed, graph.constant(FAINTEST, "f8")))
    cooled = graph.add("Div", logits, graph.constant(temperature, "f8"))
    return graph.add("Cast", graph.add("Softmax", cooled, axis=-1), to=onnx.TensorProto.FLOAT)


def _predicted_classes(graph: Graph, threshold: float | None) -> str:
    """`Predictor.predicted_classes`: (rows,) indices."""
    if threshold is None:
        return graph.add("ArgMax", "probabilities", axis=1, keepdims=0)
    column = graph.add("Gather", "probabilities", graph.constant([1], "i8"), axis=1)
    positive = graph.add("Squeeze", column, graph.constant([1], "i8"))
    wide = graph.add("Cast", positive, to=onnx.TensorProto.DOUBLE)
    above = graph.add("Greater", wide, graph.constant(threshold, "f8"))
    return graph.add("Cast", above, to=onnx.TensorProto.INT64)


def _is_same(one: Preprocessor, other: Preprocessor) -> bool:
    states = one.state_dict(), other.state_dict()
    if (one.numeric, one.coded) != (other.numeric, other.coded):
        return False
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _features(graph: Graph, fitted: Preprocessor, x_num: str | None, codes: str | None) -> str:
    """`Preprocessor.forward`."""
    features = []
    if x_num is not None:
        gaps = graph.add("IsNaN", x_num)
        centered = graph.add("Sub", x_num, graph.constant(fitted.center, "f8"))
        centered = graph.add("Where", gaps, graph.constant(0.0, "f8"), centered)
        scaled = _scaled(graph, fitted, centered)
        features.append(graph.add("Where", gaps, graph.constant(0.0), scaled))
        if len(fitted.missing):
            features.append(_float(graph, _some(graph, gaps, fitted.missing.tolist())))
        features += _cycles(graph, fitted, x_num)
    if codes is not None:
        if fitted.one_hot:
            features.append(_one_hot(graph, fitted, codes))
        if fitted.coded:
            features.append(_float(graph, _some(graph, codes, fitted.coded)))
    return graph.add("Concat", *features, axis=1)


def _scaled(graph: Graph, fitted: Preprocessor, centered: str) -> str:
    """Scaled numbers, then scaled dates; appends no unused nodes."""
    n_quantile = fitted.n_numeric if fitted.numeric == "quantile" else 0
    columns = list(range(len(fitted.center)))
    parts = []
    if n_quantile:
        numbers = _some(graph, centered, columns[:n_quantile])
        parts.append(_quantile(graph, fitted, _float(graph, numbers)))
    if others := columns[n_quantile:]:
        scale = graph.constant(fitted.scale[n_quantile:], "f8")
        parts.append(_float(graph, graph.add("Div", _some(graph, centered, others), scale)))
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _cycles(graph: Graph, fitted: Preprocessor, x_num: str) -> list[str]:
    """Sine and cosine of the dates' cycles, (rows, n_cycles) each, if there are any."""
    if not len(fitted.periods):
        return []
    times = _some(graph, x_num, fitted.cycling.tolist())
    gaps = graph.add("IsNaN", times)
    turns = graph.add("Div", times, graph.constant(fitted.periods, "f8"))
    share = graph.add("Sub", turns, graph.add("Floor", turns))
    angle = _float(graph, graph.add("Mul", share, graph.constant(2 * math.pi, "f8")))
    return [
        graph.add("Where", gaps, graph.constant(0.0), graph.add(wave, angle))
        for wave in ("Sin", "Cos")
    ]


def _some(graph: Graph, x: str, columns: list[int]) -> str:
    return graph.add("Gather", x, graph.constant(columns, "i8"), axis=1)


def _float(graph: Graph, x: str) -> str:
    return graph.add("Cast", x, to=onnx.TensorProto.FLOAT)


def _quantile(graph: Graph, fitted: Preprocessor, x: str) -> str:
    """Normal scores by linear interpolation between knots, found by binary search."""
    n_columns, n_knots = fitted.knots.shape
    knots, scores = graph.constant(fitted.knots.flatten()), graph.constant(fitted.scores)
    starts = graph.constant(np.arange(n_columns) * n_knots, "i8")
    one, last = graph.constant(1, "i8"), graph.constant(n_knots - 1, "i8")

    def knot(index: str) -> str:
        return graph.add("Gather", knots, graph.add("Add", index, starts))

    found = graph.constant(np.zeros((1, n_columns)), "i8")
    step = 1 << (n_knots.bit_length() - 1)
    while step:
        probe = graph.add("Add", found, graph.constant(step, "i8"))
        within = graph.add("Min", graph.add("Sub", probe, one), last)
        found = graph.add("Where", graph.add("Less", knot(within), x), probe, found)
        step //= 2
    index = graph.add("Min", graph.add("Max", found, one), last)
    before = graph.add("Sub", index, one)
    low, high = knot(before), knot(index)
    width = graph.add("Max", graph.add("Sub", high, low), graph.constant(TINY))
    share = graph.add("Div", graph.add("Sub", x, low), width)
    share = graph.add("Clip", share, graph.constant(0.0), graph.constant(1.0))
    start, end = graph.add("Gather", scores, before), graph.add("Gather", scores, index)
    return graph.add("Add", start, graph.add("Mul", share, graph.add("Sub", end, start)))


def _one_hot(graph: Graph, fitted: Preprocessor, codes: str) -> str:
    """(rows, n_categories): for each category, whether it is the code of its column."""
    sizes = fitted.sizes[fitted.one_hot].tolist()
    columns = np.repeat(fitted.one_hot, sizes)
    values = np.concatenate([np.arange(size) for size in sizes])
    spread = graph.add("Gather", codes, graph.constant(columns, "i8"), axis=1)
    equal = graph.add("Equal", spread, graph.constant(values, "i8"))
    return graph.add("Cast", equal, to=onnx.TensorProto.FLOAT)


def _predictions(graph: Graph, model: Model, logits: str, temperature: float) -> str:
    """`hpo.training.metrics.predictions`: (rows,) values or (rows, n_classes) probabilities."""
    task, n_heads = model.schema.task, _count_heads(model)
    if task == "regression":
        if n_heads:
            logits = _mean(graph, logits, n_heads)
        column = graph.add("Squeeze", logits, graph.constant([1], "i8"))
        wide = graph.add("Cast", column, to=onnx.TensorProto.DOUBLE)
        scaled = graph.add("Mul", wide, graph.constant(model.scale.std, "f8"))
        values = graph.add("Add", scaled, graph.constant(model.scale.mean, "f8"))
        if model.scale.link != "identity":
            values = graph.add("Exp", values)
        if model.scale.link == "log1p":
            values = graph.add("Sub", values, graph.constant(1.0, "f8"))
        return values
    if task == "binary":
        before = [0, 0, 1] if n_heads else [0, 1]
        pads = [*before, *(0 for _ in before)]
        logits = graph.add("Pad", logits, graph.constant(pads, "i8"))
    if temperature != 1:
        if n_heads:  # the logarithm of the mean probability, up to a constant
            logits = graph.add("LogSoftmax", logits, axis=-1)
            logits = graph.add("ReduceLogSumExp", logits, axes=[1], keepdims=0)
        logits = graph.add("Div", logits, graph.constant(temperature))
        return graph.add("Softmax", logits, axis=-1)
    probabilities = graph.add("Softmax", logits, axis=-1)
    return _mean(graph, probabilities, n_heads) if n_heads else probabilities


def _count_heads(model: Model) -> int:
    """Heads of a network; 0 if its outputs are (rows, n_outputs)."""
    with torch.inference_mode():
        outputs = model.network.eval()(torch.zeros(1, model.preprocessor.n_features))
    return outputs.shape[1] if outputs.ndim == 3 else 0


def _mean(graph: Graph, outputs: str, n_heads: int) -> str:
    """The mean of (rows, heads, n) over the heads."""
    total = graph.add("ReduceSum", outputs, graph.constant([1], "i8"), keepdims=0)
    return graph.add("Mul", total, graph.constant(1 / n_heads))
