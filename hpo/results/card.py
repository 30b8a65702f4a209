"""The model card: what a stranger needs to know of an exported model, in Markdown."""

from hpo.bundle import Model
from hpo.trial import METRICS, TrialConfig

SHOWN_COLUMNS = 30

PREDICT = """\
## Use

```sh
hpo predict {folder} rows.csv --out predictions.csv
```

```python
import hpo

model = hpo.load_model("{folder}")
predictions = model.predict(dataframe)  # polars or pandas, raw columns in any order
```
"""


def model_card(
    model: Model, metrics: dict[str, dict[str, float]], title: str, note: str, folder: str
) -> str:
    """Describe a model: its data, its metrics, its configuration, its use and its limits."""
    parts = [
        f"# {title}\n\n{note}\n\n{_summary(model)}",
        _metrics(metrics, model.config.objective.metric),
        _inputs(model),
        _configuration(model.config),
        PREDICT.format(folder=folder),
        _limits(model),
    ]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _summary(model: Model) -> str:
    config, schema = model.config, model.schema
    depth = config.model.depth
    layers = "1 hidden layer" if depth == 1 else f"{depth} hidden layers"
    classes = f" Classes: {', '.join(schema.classes)}." if schema.classes else ""
    return (
        f"An MLP of {layers} of {config.model.width} units "
        f"({config.model.activation}) that predicts `{schema.target}`, a {schema.task} task. "
        f"Its preprocessing is inside: it takes raw rows.{classes}"
    )


def _metrics(metrics: dict[str, dict[str, float]], objective: str) -> str:
    lines = ["## Metrics", "", "| metric | validation | test |", "|---|---|---|"]
    for name, value in metrics["validation"].items():
        better = "lower" if METRICS[name].direction == "minimize" else "higher"
        chosen = ", chosen by" if name == objective else ""
        lines.append(
            f"| {name} ({better} is better{chosen}) | {value:.6g} | {metrics['test'][name]:.6g} |"
        )
    lines += ["", "In the target's own units. Test rows took no part in any choice."]
    return "\n".join(lines)


def _inputs(model: Model) -> str:
    kinds = [(name, "number") for name in model.schema.numeric]
    kinds += [(c.name, f"{len(c.values)} categories") for c in model.schema.categorical]
    lines = ["## Columns", "", "| column | kind |", "|---|---|"]
    lines += [f"| `{name}` | {kind} |" for name, kind in kinds[:SHOWN_COLUMNS]]
    if len(kinds) > SHOWN_COLUMNS:
        lines += ["", f"And {len(kinds) - SHOWN_COLUMNS} more: `schema.json` has them all."]
    lines += ["", "A missing value is allowed everywhere, a category unseen in training too."]
    return "\n".join(lines)


def _configuration(config: TrialConfig) -> str:
    optimizer, training = config.optimizer, config.training
    return (
        "## Training\n\n"
        f"{optimizer.name}, learning rate {optimizer.learning_rate:.3g}, weight decay "
        f"{optimizer.weight_decay:.3g}, dropout {config.model.dropout:.3g}, batches of "
        f"{training.batch_size}, numbers scaled by `{config.preprocessing.numeric}`, "
        f"seed {training.seed}; the best of up to {training.max_epochs} epochs by validation "
        f"{config.objective.metric}. All of it is in `config.toml`; `hpo train config.toml` "
        f"trains it again.\n\nData: `{config.data.source}`, SHA-256 `{config.data.fingerprint}`."
    )


def _limits(model: Model) -> str:
    limits = "Values far outside the training data are extrapolated; check them before use."
    if model.config.preprocessing.numeric == "quantile":
        limits = "Numbers beyond those seen in training are treated as the nearest one seen."
    return (
        f"## Limits\n\n{limits}\n\nTrained with torch {model.environment.torch} in "
        f"{model.environment.precision} on {model.environment.device}."
    )
