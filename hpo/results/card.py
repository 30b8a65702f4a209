"""The model card: what a stranger needs to know of an exported model, in Markdown.

Does not know: how files are written and proven.
"""

from hpo.bundle import Ensemble, Predictor
from hpo.data.schema import TableSchema
from hpo.results.proof import SLACK, Proof
from hpo.trial import METRICS, TrialConfig

SHOWN_COLUMNS = 30

ROWS = {
    "held": "as they were",
    "missing": "values missing",
    "known category": "each category in turn",
    "unseen category": "unseen categories",
    "extreme number": "extreme numbers",
}
"""What the kinds of `hpo.results.awkward` are called."""

USE = """\
## Use

```sh
hpo predict {folder} rows.csv --out predictions.csv
```

```python
import hpo

model = hpo.load_model("{folder}")
predictions = model.predict(dataframe)  # polars or pandas, raw columns in any order
```

Without `hpo` and torch, by `pip install onnxruntime` alone: one input a column, float (a missing
number is NaN) or text (a missing one is "", no space around it), each of shape (rows, 1).

```python
import csv
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{folder}/model.onnx")
rows = list(csv.DictReader(open("rows.csv", encoding="utf-8", newline="")))
inputs = {{}}
for column in session.get_inputs():
    cells = [row[column.name] for row in rows]
    if column.type == "tensor(float)":
        cells = np.array([cell or "nan" for cell in cells], np.float32)
    inputs[column.name] = np.array(cells).reshape(-1, 1)
{outputs} = session.run(None, inputs)
```
"""


def model_card(
    model: Predictor,
    metrics: dict[str, dict[str, float]],
    title: str,
    note: str,
    folder: str,
    proof: Proof,
    alone: dict[str, dict[str, float]] | None = None,
) -> str:
    """Describe a model: its data, its metrics, its configuration, its use and its limits.

    Args:
        model: what is described.
        metrics: `validation` and `test`, the latter empty where there is no test part.
        title: the heading.
        note: one line on where it comes from.
        folder: the name of its folder.
        proof: what its files were tried on.
        alone: metrics of an ensemble's best member.
    """
    config = model.parts[0][1].config
    outputs = "prediction, probabilities" if model.schema.classes else "(prediction,)"
    parts = [
        f"# {title}\n\n{note}\n\n{_summary(model)}",
        _metrics(metrics, config.objective.metric, alone or {}),
        _inputs(model.schema),
        _members(model) if isinstance(model, Ensemble) else _configuration(config),
        USE.format(folder=folder, outputs=outputs),
        _proven(proof),
        _limits(model),
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _summary(model: Predictor) -> str:
    schema = model.schema
    classes = f" Classes: {', '.join(schema.classes)}." if schema.classes else ""
    if isinstance(model, Ensemble):
        n_members = len(model.members)
        what = "An ensemble of one MLP" if n_members == 1 else f"An ensemble of {n_members} MLPs"
    else:
        config = model.parts[0][1].config.model
        layers = "1 hidden layer" if config.depth == 1 else f"{config.depth} hidden layers"
        what = f"An MLP of {layers} of {config.width} units ({config.activation})"
    return (
        f"{what} that predicts `{schema.target}`, a {schema.task} task. "
        f"Its preprocessing is inside: it takes raw rows.{classes}"
    )


def _metrics(
    metrics: dict[str, dict[str, float]], objective: str, alone: dict[str, dict[str, float]]
) -> str:
    columns = {part: metrics[part] for part in ("validation", "test") if metrics[part]}
    columns |= {f"best member's {part}": alone[part] for part in columns if alone}
    lines = [
        "## Metrics",
        "",
        f"| metric | {' | '.join(columns)} |",
        "|---|" + "---|" * len(columns),
    ]
    for name in metrics["validation"]:
        better = "lower" if METRICS[name].direction == "minimize" else "higher"
        chosen = ", chosen by" if name == objective else ""
        cells = " | ".join(f"{values[name]:.6g}" for values in columns.values())
        lines.append(f"| {name} ({better} is better{chosen}) | {cells} |")
    tested = "Test rows took no part in any choice."
    if "test" not in columns:
        tested = "There was no test part: validation rows chose the model, and flatter it."
    lines += ["", f"In the target's own units. {tested}"]
    return "\n".join(lines)


def _inputs(schema: TableSchema) -> str:
    kinds = [(name, "number") for name in schema.numeric]
    kinds += [(c.name, f"{len(c.values)} categories") for c in schema.categorical]
    lines = ["## Columns", "", "| column | kind |", "|---|---|"]
    for name, kind in kinds[:SHOWN_COLUMNS]:
        cell = " ".join(name.split()).replace("|", "\\|")  # either would end the row
        lines.append(f"| `{cell}` | {kind} |")
    if len(kinds) > SHOWN_COLUMNS:
        lines += ["", f"And {len(kinds) - SHOWN_COLUMNS} more: `schema.json` has them all."]
    lines += ["", "A missing value is allowed everywhere, a category unseen in training too."]
    return "\n".join(lines)


def _members(ensemble: Ensemble) -> str:
    """The members, best on its own first."""
    config = ensemble.members[0].model.config
    metric = config.objective.metric
    mean = "probabilities" if ensemble.schema.classes else "values"
    lines = [
        "## Members",
        "",
        f"It predicts the weighted mean of their {mean}. They were chosen by validation {metric},",
        "one after the other, so that each made the ensemble best; one chosen twice weighs twice.",
        "",
        f"| trial | weight | validation {metric} | network | numbers |",
        "|---|---|---|---|---|",
    ]
    for member in ensemble.members:
        model = member.model.config.model
        lines.append(
            f"| {member.number} | {member.weight:.3g} | {member.model.metrics[metric]:.6g} "
            f"| {model.depth} of {model.width} {model.activation} "
            f"| {member.model.config.preprocessing.numeric} |"
        )
    return "\n".join([*lines, "", f"All of it is in `config.toml`.\n\n{_data(config)}"])


def _configuration(config: TrialConfig) -> str:
    optimizer, training = config.optimizer, config.training
    return (
        "## Training\n\n"
        f"{optimizer.name}, learning rate {optimizer.learning_rate:.3g}, weight decay "
        f"{optimizer.weight_decay:.3g}, dropout {config.model.dropout:.3g}, batches of "
        f"{training.batch_size}, numbers scaled by `{config.preprocessing.numeric}`, "
        f"seed {training.seed}; the best of up to {training.max_epochs} epochs by validation "
        f"{config.objective.metric}. All of it is in `config.toml`; `hpo train config.toml` "
        f"trains it again.\n\n{_data(config)}"
    )


def _data(config: TrialConfig) -> str:
    return f"Data: `{config.data.source}`, SHA-256 `{config.data.fingerprint}`."


def _proven(proof: Proof) -> str:
    versions = " and ".join(f"{name} {version}" for name, version in proof.versions.items())
    lines = [
        "## Checked",
        "",
        "Before this folder appeared its files were run, and predicted as the trained model does.",
        "Largest differences, on rows that training did not see and awkward ones made of them:",
        "",
        f"| rows | how many | {' | '.join(f'`{file}`' for file in proof.largest)} |",
        "|---|---|" + "---|" * len(proof.largest),
    ]
    for kind, n in proof.n_rows.items():
        cells = " | ".join(f"{by_kind[kind]:.1g}" for by_kind in proof.largest.values())
        lines.append(f"| {ROWS[kind]} | {n} | {cells} |")
    return "\n".join(
        [
            *lines,
            "",
            "Differences are of probabilities; of values, relative to the value or the target's",
            f"standard deviation, whichever is greater. Allowed is {proof.tolerance:g} or, where",
            f"float32 is coarser than that, {SLACK:g} times its own rounding. By {versions}.",
        ]
    )


def _limits(model: Predictor) -> str:
    bounded = {part.config.preprocessing.numeric == "quantile" for _, part in model.parts}
    limits = "Values far outside the training data are extrapolated; check them before use."
    if bounded == {True}:
        limits = "Numbers beyond those seen in training are treated as the nearest one seen."
    trained = sorted(
        {
            f"torch {part.environment.torch} in {part.environment.precision} "
            f"on {part.environment.device}"
            for _, part in model.parts
        }
    )
    return f"## Limits\n\n{limits}\n\nTrained with {'; '.join(trained)}."
