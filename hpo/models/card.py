"""The model card: a description of an exported model in Markdown."""

from hpo.config.metrics import find_metric, metric_label, selection_metric
from hpo.config.trial import TrialConfig
from hpo.data.schema import TableSchema
from hpo.models.ensemble import Ensemble, FoldEnsemble, TrialModel
from hpo.models.example import onnx_example
from hpo.models.model import Predictor
from hpo.models.proof import SLACK, Proof
from hpo.training.families.family import family_of

SHOWN_COLUMNS = 30
NONE = "\u2013"
"""Stands for a metric that is undefined on a part's rows."""

BEFORE_REFIT = "validation_before_refit"
PARTS = {
    "validation": "validation",
    BEFORE_REFIT: "validation before the refit",
    "test": "test",
}
"""Names of the parts in `metrics.json`, and for people."""

ROWS = {
    "held": "unchanged",
    "missing": "values missing",
    "known category": "each category in turn",
    "unseen category": "unseen categories",
    "extreme number": "extreme numbers",
}
"""Names of the kinds of rows in `hpo.models.awkward`."""

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

Without `hpo` and torch, by `pip install onnxruntime` alone: each column is an input of shape
(rows, 1). Numbers are float or double (NaN if missing; true and false are 1 and 0), texts are
strings without surrounding space ("" if missing). For a file with plain numbers:

```python
{example}
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
    """Describe a model: its data, metrics, configuration, use and limits.

    Args:
        model: to describe.
        metrics: by part, see `PARTS`; a part is empty if it has no rows. A dash stands for a metric
            that is missing in one of the parts.
        title: the heading.
        note: one line on the origin of the model.
        folder: name of the model's folder.
        proof: the comparison of the exported files.
        alone: metrics of an ensemble's best member.
    """
    from hpo.models.onnx import input_names  # slow to import

    config, inputs = model.parts[0][1].config, input_names(model.schema)
    parts = [
        f"# {title}\n\n{note}\n\n{_summary(model)}",
        _metrics(metrics, config.objective.metric, alone or {}, model.schema.positive),
        _inputs(model.schema, inputs),
        *_notes(model.schema),
        *([_folds(model, config.objective.metric)] if isinstance(model, FoldEnsemble) else []),
        _members(model) if isinstance(model, Ensemble) else _configuration(model),
        USE.format(folder=folder, example=onnx_example(model.schema, inputs, folder)),
        _proven(proof, is_held=_is_held(model, metrics)),
        _limits(model),
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _summary(model: Predictor) -> str:
    schema = model.schema
    classes = f" Classes: {', '.join(schema.classes)}." if schema.classes else ""
    if isinstance(model, Ensemble):
        n_folds = len(model.parts) // len(model.members)
        each = f" trials, each with the networks of {n_folds} folds" if n_folds > 1 else " networks"
        network = f"An ensemble of {len(model.members)}{each}."
    elif isinstance(model, FoldEnsemble):
        network = f"{len(model.folds)} networks, one a fold, predict together: {_network(model)}."
    else:
        network = f"Network: {_network(model.parts[0][1])}."
    return (
        f"This model predicts `{schema.target}`, a {schema.task} task. {network} "
        f"Its preprocessing is inside: it takes raw rows.{classes}{_calibration(model)}"
    )


def _calibration(model: Predictor) -> str:
    """Temperature and threshold, if they were fitted."""
    temperature, threshold = model.calibration.temperature, model.calibration.threshold
    of = "mean probabilities" if len(model.parts) > 1 else "probabilities"
    said = ""
    if temperature != 1:
        said += f" Its {of} are calibrated by the temperature {temperature:.4g}."
    if threshold is not None:
        positive = model.schema.classes[1]
        said += f" It predicts {positive} where its probability is above {threshold:.4g}."
    return said


def _network(model: TrialModel) -> str:
    return family_of(model.config.model).describe(model.config.model)


def _metrics(
    metrics: dict[str, dict[str, float]],
    objective: str,
    alone: dict[str, dict[str, float]],
    positive: str | None,
) -> str:
    columns = {PARTS[part]: values for part, values in metrics.items() if values}
    columns |= {f"best member's {PARTS[part]}": values for part, values in alone.items() if values}
    if not columns:
        return "## Metrics\n\nThere are none: training saw every row of the table."
    lines = [
        "## Metrics",
        "",
        f"| metric | {' | '.join(columns)} |",
        "|---|" + "---|" * len(columns),
    ]
    for name in dict.fromkeys(name for values in columns.values() for name in values):
        label = metric_label(name, positive)
        better = find_metric(name).direction.preferred
        chosen = ", chosen by" if name == objective else ""
        cells = " | ".join(_number(values.get(name)) for values in columns.values())
        lines.append(f"| {_cell(label)} ({better} is better{chosen}) | {cells} |")
    tested = "Test rows were not used for any choice."
    if "test" not in columns:
        tested = (
            "There was no test part. The choice of the model makes validation metrics optimistic."
        )
    lines += ["", f"Regression metrics are in the target's own units. {tested}"]
    if BEFORE_REFIT in metrics:
        lines += [
            "",
            "Validation metrics are those of the search's model, which did not see the validation",
            "rows. This model was trained on them, too, so that only test rows measure it.",
        ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.6g}"


def _inputs(schema: TableSchema, inputs: dict[str, str]) -> str:
    floats, exact = {True: "double", False: "float"}, schema.exact
    kinds = [(name, "number", floats[name in exact]) for name in schema.numeric]
    kinds += [(column.name, "date", "double") for column in schema.dates]
    kinds += [(c.name, f"{len(c.values)} categories", "string") for c in schema.categorical]
    lines = ["## Columns", "", "| column | kind | input of `model.onnx` |", "|---|---|---|"]
    for name, kind, tensor in kinds[:SHOWN_COLUMNS]:
        renamed = "" if inputs[name] == name else f" `{_cell(inputs[name])}`"
        lines.append(f"| `{_cell(name)}` | {kind} | {tensor}{renamed} |")
    if len(kinds) > SHOWN_COLUMNS:
        lines += ["", f"And {len(kinds) - SHOWN_COLUMNS} more: `schema.json` has them all."]
    lines += [
        "",
        "Missing values and categories that were not in training are allowed in every column.",
    ]
    if schema.dates:
        lines.append("For `model.onnx` a date is a number of microseconds since 1970 UTC,")
        lines.append("and a time of day a number of microseconds since midnight.")
    return "\n".join(lines)


def _notes(schema: TableSchema) -> list[str]:
    """Notes on the table, such as unexpected types of columns."""
    if not schema.notes:
        return []
    return ["\n".join(["## Notes", "", *(f"- {_cell(note)}." for note in schema.notes)])]


def _cell(text: str) -> str:
    """Escape a text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _folds(model: FoldEnsemble, metric: str) -> str:
    """The metric of each fold."""
    said = _cell(metric_label(metric, model.schema.positive))
    mean = "probabilities" if model.schema.classes else "values"
    lines = [
        "## Folds",
        "",
        f"The model predicts the mean of its networks' {mean}. Each was trained without the rows",
        "of its fold. Validation metrics are of single networks: each row counts by the network",
        "that did not see it.",
        "",
        f"| fold | validation {said} |",
        "|---|---|",
    ]
    lines += [
        f"| {number} | {_number(own.metrics.get(metric))} |"
        for number, own in enumerate(model.folds, 1)
    ]
    return "\n".join([*lines, f"| all | {_number(model.metrics.get(metric))} |"])


def _is_held(model: Predictor, metrics: dict[str, dict[str, float]]) -> bool:
    """Whether the files were checked on rows that no network was trained on."""
    with_folds = len(model.of_fold(0).parts) < len(model.parts)
    parts = ("test",) if with_folds else ("validation", "test")
    return any(metrics.get(part) for part in parts)


def _members(ensemble: Ensemble) -> str:
    """The members, best on its own first."""
    config = ensemble.members[0].model.config
    metric = config.objective.metric
    selected_by = selection_metric(ensemble.schema.task, metric)
    said, selected = (
        _cell(metric_label(name, ensemble.schema.positive)) for name in (metric, selected_by)
    )
    is_refit = config.refit is not None
    mean = "probabilities" if ensemble.schema.classes else "values"
    before = ", before the refit" if is_refit else ""
    known = "epochs" if is_refit else f"validation {said}"
    lines = [
        "## Members",
        "",
        f"The ensemble predicts the weighted mean of the members' {mean}. Weights are means over",
        f"greedy selections by validation {selected} from random subsets of the best trials"
        f"{before}.",
        "",
        f"| trial | weight | {known} | network | numbers |",
        "|---|---|---|---|---|",
    ]
    for member in ensemble.members:
        refit = member.model.config.refit
        cell = _number(member.model.metrics.get(metric)) if refit is None else refit.n_epochs
        lines.append(
            f"| {member.number} | {member.weight:.3g} | {cell} "
            f"| {_network(member.model)} "
            f"| {member.model.config.preprocessing.numeric} |"
        )
    return "\n".join([*lines, "", f"`config.toml` has their configurations.\n\n{_data(config)}"])


def _configuration(model: Predictor) -> str:
    config = model.parts[0][1].config
    optimizer, training = config.optimizer, config.training
    n_coded = len(model.parts[0][1].preprocessor.coded)
    coded = (
        f"{n_coded} columns of more than {config.preprocessing.max_one_hot} categories embedded, "
        if n_coded
        else ""
    )
    metric = metric_label(config.objective.metric, model.schema.positive)
    epochs = f"the best of up to {training.max_epochs} epochs by validation {metric}"
    if config.refit is not None:
        epochs = (
            f"{config.refit.n_epochs} of {training.max_epochs} planned epochs on the training and "
            "validation rows together"
        )
    return (
        "## Training\n\n"
        f"{optimizer.name}, learning rate {optimizer.learning_rate:.3g}, weight decay "
        f"{optimizer.weight_decay:.3g}, batches of "
        f"{training.batch_size}, numbers scaled by `{config.preprocessing.numeric}`, "
        f"{coded}seed {training.seed}; {epochs}. "
        "`config.toml` has the whole configuration; `hpo train config.toml` "
        f"trains it again.\n\n{_data(config)}"
    )


def _data(config: TrialConfig) -> str:
    return f"Data: `{config.data.source}`, SHA-256 `{config.data.fingerprint}`."


def _proven(proof: Proof, *, is_held: bool) -> str:
    rows = "rows that training did not see" if is_held else "training rows"
    versions = " and ".join(f"{name} {version}" for name, version in proof.versions.items())
    lines = [
        "## Checked",
        "",
        "Before export these files were run and compared with the trained model. Largest",
        f"differences, on {rows} and on awkward variants of them:",
        "",
        f"| rows | number | {' | '.join(f'`{file}`' for file in proof.largest)} |",
        "|---|---|" + "---|" * len(proof.largest),
    ]
    for kind, n in proof.n_rows.items():
        cells = " | ".join(f"{by_kind[kind]:.1g}" for by_kind in proof.largest.values())
        lines.append(f"| {ROWS[kind]} | {n} | {cells} |")
    return "\n".join(
        [
            *lines,
            "",
            "Differences are absolute for probabilities. For values they are relative to the value",
            "or the target's standard deviation, whichever is greater. The tolerance is",
            f"{proof.tolerance:g}, or {SLACK:g} times the rounding error of float32 where that is",
            f"greater. Compared with {versions}.",
        ]
    )


def _limits(model: Predictor) -> str:
    limits = "Values far outside the training data are extrapolated; check them before use."
    if model.is_bounded:
        limits = "Numbers beyond those seen in training are treated as the nearest one seen."
    trained = sorted(
        {
            f"torch {part.environment.torch} in {part.environment.precision} "
            f"on {part.environment.device}"
            for _, part in model.parts
        }
    )
    return f"## Limits\n\n{limits}\n\nTrained with {'; '.join(trained)}."
