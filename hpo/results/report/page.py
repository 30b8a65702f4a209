"""The page: a report's content and figures as one HTML file that loads nothing else.

The template escapes everything that comes from a study. The page's content security policy allows
no script except the two that are written into it, and no request: injected code could do nothing.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
import tomli_w
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from hpo.config.metrics import find_metric
from hpo.config.space import plain_params
from hpo.config.urls import hide_passwords
from hpo.config.version import __version__
from hpo.files.durable import replacing, writing
from hpo.results.report import (
    comparison,
    intervals,
    model_figures,
    param_figures,
    search_figures,
    text,
)
from hpo.results.report.comparison import ComparedModel
from hpo.results.report.content import Content, gather
from hpo.study.artifacts import StudyArtifacts

_HERE = Path(__file__).parent
_RELATIVE = ("rmse", "mae", "log_loss")
"""Metrics whose differences are given in percent as well: 0 is perfect."""


def write_report(artifacts: StudyArtifacts, out: Path, *, top: int = 10) -> Path:
    """Write a study's report.

    Args:
        artifacts: of a study in any state.
        out: the file to write; an existing one is replaced.
        top: rows of the leaderboard.

    Returns:
        The file.

    Raises:
        InputError: the file cannot be written.
        ArtifactError: the study's table cannot be read.
    """
    with writing(str(out)):
        if out.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        with replacing(out, out.parent) as file:  # opened before the work, not after it
            file.write(render(gather(artifacts, top)).encode())
    return out


def render(content: Content) -> str:
    """The HTML of a report."""
    figures = {name: drawn for name, drawn in _figures(content).items() if drawn is not None}
    scripts = [get_plotlyjs(), (_HERE / "page.js").read_text(encoding="utf-8")]
    definition = content.study.definition
    template = _environment().get_template("page.html")
    return template.render(
        content=content,
        study=definition,
        version=__version__,
        metric=content.metric,
        objective=content.label(content.metric),
        definition=_definition(content),
        source=hide_passwords(definition.data.source),
        counts=content.status.counts_text,
        n_finished=sum(trial.state.is_finished() for trial in content.trials),
        params=_params(content),
        names=_leaders_params(content),
        metrics=_metrics(content),
        verdict=verdict(content),
        figures=figures,
        figures_json=Markup(_json(figures)),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        comparison=comparison,
        intervals=intervals,
        model_figures=model_figures,
        param_figures=param_figures,
        search_figures=search_figures,
    )


def verdict(content: Content) -> str:
    """A sentence that compares the winner with the other models on the test part.

    It is empty if the metric has no value there.
    """
    known = [e for e in content.compared if content.metric in e.metrics.get("test", {})]
    found = {each.kind: each for each in known}
    if "winner" not in found:
        return ""
    own = found["winner"].metrics["test"][content.metric]
    metric = content.label(content.metric)
    others = [each for each in known if each.kind != "winner"]
    if not others:
        return f"On the test part its {metric} is {text.number(own)}."
    *first, last = [_against(own, each, content.metric) for each in others]
    listed = f"{', '.join(first)} and {last}" if first else last
    return f"On the test part its {metric} is {text.number(own)}: {listed}."


def _against(own: float, other: ComparedModel, metric: str) -> str:
    value = other.metrics["test"][metric]
    gain = find_metric(metric).direction.sign * (value - own)
    name = (
        "the default configuration" if other.kind == "default" else f"scikit-learn's {other.name}"
    )
    if gain == 0:
        return f"level with {name}"
    word = "better" if gain > 0 else "worse"
    percent = f" ({text.percent(abs(gain), abs(value))})" if metric in _RELATIVE and value else ""
    return f"{text.number(abs(gain), 2)}{percent} {word} than {name}"


def _breakable(name: str) -> Markup:
    """A name with optional line breaks after underscores."""
    return escape(name).replace("_", Markup("_<wbr>"))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plain = (text.number, text.percent, text.duration, text.pluralize, text.shortened)
    environment.filters |= {each.__name__: each for each in plain}
    environment.filters["plain_params"] = plain_params
    environment.filters["format_param"] = text.format_param
    environment.filters["breakable"] = _breakable
    return environment


def _figures(content: Content) -> dict[str, go.Figure | None]:
    definition, trials = content.study.definition, content.trials
    direction, metric = definition.direction, content.label(content.metric)
    winner = None if content.winner is None else content.winner.number
    drawn: dict[str, go.Figure | None] = {
        "compared": model_figures.compared(content.compared, content.metric, metric),
        "leaders": model_figures.leader_intervals(content.leaders, metric),
        "history": search_figures.history(trials, metric, direction),
        "curves": search_figures.learning_curves(trials, metric, winner),
        "parallel": param_figures.parallel_coordinates(trials, metric, direction, winner),
        "slices": param_figures.slices(trials, metric, direction),
        "importances": param_figures.importances(trials, direction),
    }
    if content.concurrency is not None:
        drawn["concurrency"] = search_figures.concurrent_trials(content.concurrency)
    if content.on_test is not None and content.classes:
        drawn["test"] = model_figures.confusion(content.on_test, content.classes)
    elif content.on_test is not None:
        drawn["test"] = model_figures.residuals(content.on_test, definition.data.target)
    return drawn


def _json(figures: Mapping[str, go.Figure]) -> str:
    """The figures as JSON; angle brackets are escaped, so that none can close the script tag."""
    tree = {name: json.loads(plotly.io.to_json(drawn)) for name, drawn in figures.items()}
    return json.dumps(tree).replace("<", "\\u003c")


def _hash(script: str) -> str:
    """A script's SHA-256 for the content security policy."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _definition(content: Content) -> str:
    """The study as a study file; passwords in URLs are hidden."""
    tree = content.study.definition.to_tree()
    tree["data"]["source"] = hide_passwords(tree["data"]["source"])
    tree["budget"] = content.status.budget.model_dump(exclude_none=True)
    return tomli_w.dumps(tree)


def _params(content: Content) -> list[dict[str, Any]]:
    """Each param's range, its default and the winner's value."""
    space = content.study.definition.space
    default = plain_params(space.default_params())
    own = plain_params(content.winner.params) if content.winner else {}
    return [
        {
            "name": name,
            "range": leaf.allowed() + (", log" if getattr(leaf, "log", False) else ""),
            "default": default.get(name),
            "winner": own.get(name),
        }
        for name, leaf in space.tunables.items()
    ]


def _leaders_params(content: Content) -> dict[str, str]:
    """Short names of the params that any leader has."""
    held = {name for each in content.leaders for name in plain_params(each.row.params)}
    names = text.short_names([*content.study.definition.space.tunables])
    return {name: short for name, short in names.items() if name in held}


def _metrics(content: Content) -> list[str]:
    """Names of the metrics of the comparison, the objective first."""
    known = {name: None for e in content.compared for part in e.metrics.values() for name in part}
    return sorted(known, key=lambda name: name != content.metric)
