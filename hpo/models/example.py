"""The Python example of a model card: from rows of a CSV file to the inputs of `model.onnx`.

The code handles the kinds of columns that the model has. It reads plain numbers and ISO dates only;
`hpo predict` reads every format of the training table.
"""

from collections.abc import Iterator

from hpo.data.schema import TableSchema


def onnx_example(schema: TableSchema, inputs: dict[str, str], folder: str) -> str:
    """Write the example.

    Args:
        schema: the model's.
        inputs: name of the graph's input for each column.
        folder: where `model.onnx` is.
    """
    outputs = "prediction, probabilities" if schema.classes else "(prediction,)"
    lines = [
        "import csv",
        "import numpy as np",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession("{folder}/model.onnx")',
        'rows = list(csv.DictReader(open("rows.csv", encoding="utf-8", newline="")))',
        *_inputs(schema, inputs),
        f"{outputs} = session.run(None, inputs)",
    ]
    return "\n".join(lines)


def _inputs(schema: TableSchema, inputs: dict[str, str]) -> Iterator[str]:
    renamed = {name: column for column, name in inputs.items() if name != column}
    read = "row[column.name]"
    if renamed:
        yield f"columns = {renamed!r}  # renamed inputs"
        read = "row[columns.get(column.name, column.name)]"
    yield "inputs = {}"
    yield "for column in session.get_inputs():"
    yield f"    cells = [{read} for row in rows]"
    readers = {name: schema.reader(name) for name in schema.numbers}
    truths = [inputs[name] for name, reader in readers.items() if reader.boolean]
    clocks = [inputs[name] for name, reader in readers.items() if reader.order == "time"]
    dates = [inputs[column.name] for column in schema.dates]
    if truths:
        yield f"    if column.name in {truths!r}:"
        yield '        truths = {"true": "1", "false": "0"}'
        yield "        cells = [truths.get(cell.lower(), cell) for cell in cells]"
    if clocks:
        yield f"    if column.name in {clocks!r}:  # since midnight"
        yield '        cells = [cell and f"1970-01-01T{cell}" for cell in cells]'
    if dates:
        yield f"    if column.name in {dates!r}:  # microseconds since 1970 UTC"
        yield '        times = np.array(cells, "M8[us]")'
        yield '        cells = np.where(np.isnat(times), np.nan, times.astype("i8"))'
    yield f'    {"elif" if dates else "if"} column.type != "tensor(string)":'
    yield '        kind = np.float32 if column.type == "tensor(float)" else np.float64'
    yield '        cells = np.array([cell or "nan" for cell in cells], kind)'
    yield "    inputs[column.name] = np.array(cells).reshape(-1, 1)"
