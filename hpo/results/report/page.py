"""The page: a report's content and figures as one HTML file that asks nobody for anything.

Whatever comes from a study is escaped by the template. The page's own policy lets no script run
but the two that it was written with, and no request leave: what slips through could do nothing.
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

from hpo.config.trial import METRICS
from hpo.config.urls import hide_passwords
from hpo.config.version import __version__
from hpo.results.report import model_figures, param_figures, search_figures, text
from hpo.results.report.comparison import N_WITH_INTERVAL, ComparedModel
from hpo.results.report.content import Content
from hpo.results.report.intervals import LEVEL, N_RESAMPLES
from hpo.results.report.param_figures import ENOUGH_TRIALS, MIN_TRIALS

HERE = Path(__file__).parent
SHOWN_COLUMNS = 60
SHOWN_WORKERS = 12
RELATIVE = ("rmse", "mae", "log_loss")
"""Metrics whose differences are told in percent as well: their 0 is perfect."""


def render(content: Content) -> str:
    """The HTML of a report."""
    figures = {name: drawn for name, drawn in _figures(content).items() if drawn is not None}
    scripts = [get_plotlyjs(), (HERE / "page.js").read_text(encoding="utf-8")]
    template = _environment().get_template("page.html")
    return template.render(
        content=content,
        study=content.study.definition,
        version=__version__,
        metric=content.metric,
        objective=content.label(content.metric),
        better=content.study.definition.direction.preferred,
        definition=_definition(content),
        source=hide_passwords(content.study.definition.data.source),
        counts=_counts(content),
        n_finished=sum(trial.state.is_finished() for trial in content.trials),
        params=_params(content),
        names=_names_of_leaders(content),
        metrics=_metrics(content),
        verdict=verdict(content),
        figures=figures,
        figures_json=Markup(_json(figures)),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        limits={
            "columns": SHOWN_COLUMNS,
            "workers": SHOWN_WORKERS,
            "interval": N_WITH_INTERVAL,
            "level": f"{LEVEL:.0%}".replace("%", "\u00a0%"),
            "resamples": N_RESAMPLES,
            "importances": MIN_TRIALS,
            "enough": ENOUGH_TRIALS,
            "points": search_figures.MAX_POINTS,
            "curves": search_figures.MAX_CURVES,
            "lines": param_figures.MAX_LINES,
            "dots": param_figures.MAX_DOTS,
            "rows": model_figures.MAX_DOTS,
            "classes": model_figures.MAX_CLASSES,
        },
    )


def verdict(content: Content) -> str:
    """How the winner does against each of the others on the test part, in a sentence.

    Empty where the metric has no value there.
    """
    known = [e for e in content.contenders if content.metric in e.metrics.get("test", {})]
    found = {each.kind: each for each in known}
    if "winner" not in found:
        return ""
    own = found["winner"].metrics["test"][content.metric]
    metric = content.label(content.metric)
    others = [each for each in known if each.kind != "winner"]
    if not others:
        return f"On the test part its {metric} is {text.number(own)}."
    said = [_against(own, each, content.metric) for each in others]
    listed = " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
    return f"On the test part its {metric} is {text.number(own)}: {listed}."


def _against(own: float, other: ComparedModel, metric: str) -> str:
    value = other.metrics["test"][metric]
    gain = METRICS[metric].direction.sign * (value - own)
    name = (
        "the default configuration" if other.kind == "default" else f"scikit-learn's {other.name}"
    )
    if gain == 0:
        return f"level with {name}"
    word = "better" if gain > 0 else "worse"
    part = f" ({text.share(abs(gain), abs(value))})" if metric in RELATIVE and value else ""
    return f"{text.number(abs(gain), 2)}{part} {word} than {name}"


def breakable(name: str) -> Markup:
    """A name whose words may stand on lines of their own."""
    return escape(name).replace("_", Markup("_<wbr>"))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plain = (
        text.number,
        text.share,
        text.duration,
        text.several,
        text.format_param,
        text.shortened,
    )
    environment.filters["breakable"] = breakable
    environment.filters |= {filter.__name__: filter for filter in plain}
    environment.filters["plain_params"] = text.plain_params
    return environment


def _figures(content: Content) -> dict[str, go.Figure | None]:
    definition, trials = content.study.definition, content.trials
    direction, metric = definition.direction, content.label(content.metric)
    winner = None if content.winner is None else content.winner.number
    drawn: dict[str, go.Figure | None] = {
        "contenders": model_figures.contenders(content.contenders, content.metric, metric),
        "leaders": model_figures.leader_intervals(content.leaders, metric),
        "history": search_figures.history(trials, metric, direction),
        "curves": search_figures.learning_curves(trials, metric, winner),
        "parallel": param_figures.parallel_coordinates(
            trials, definition.space, metric, direction, winner
        ),
        "slices": param_figures.slices(trials, definition.space, metric, direction),
    }
    if content.importances:
        drawn["importances"] = param_figures.importance_bars(content.importances)
    if content.occupancy is not None:
        drawn["occupancy"] = search_figures.trials_at_once(content.occupancy)
    if content.on_test is not None and content.classes:
        drawn["test"] = model_figures.confusion(content.on_test, content.classes)
    elif content.on_test is not None:
        drawn["test"] = model_figures.residuals(content.on_test, definition.data.target)
    return drawn


def _json(figures: Mapping[str, go.Figure]) -> str:
    """The figures as JSON that may stand in a page: `pio` writes no angle bracket as such."""
    parts = [f"{json.dumps(name)}:{plotly.io.to_json(drawn)}" for name, drawn in figures.items()]
    return ("{" + ",".join(parts) + "}").replace("<", "\\u003c")


def _hash(script: str) -> str:
    """The script's SHA-256, by which the page's policy knows it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _definition(content: Content) -> str:
    """The study as its file would say it; an address's password is not told."""
    tree = content.study.definition.to_tree()
    tree["data"]["source"] = hide_passwords(tree["data"]["source"])
    tree["budget"] = content.status.budget.model_dump(exclude_none=True)
    return tomli_w.dumps(tree)


def _counts(content: Content) -> str:
    order = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
    counts = content.status.counts
    said = [f"{counts[name]:,} {name.lower()}" for name in order if counts.get(name)]
    return ", ".join(said).replace("fail", "failed")


def _params(content: Content) -> list[dict[str, Any]]:
    """What was searched: each param's range, its default, the winner's value."""
    space = content.study.definition.space
    default = text.plain_params(space.default_params())
    own = text.plain_params(content.winner.params) if content.winner else {}
    return [
        {
            "name": name,
            "range": leaf.allowed() + (", log" if getattr(leaf, "log", False) else ""),
            "default": default.get(name),
            "winner": own.get(name),
        }
        for name, leaf in space.tunables.items()
    ]


def _names_of_leaders(content: Content) -> dict[str, str]:
    """Short names of the params that any of the leaders has."""
    held = {name for each in content.leaders for name in text.plain_params(each.row.params)}
    names = text.short_names([*content.study.definition.space.tunables])
    return {name: short for name, short in names.items() if name in held}


def _metrics(content: Content) -> list[str]:
    """Names of the metrics of the comparison, the objective first."""
    parts = [part for each in content.contenders for part in each.metrics.values()]
    known = [name for part in parts for name in part]
    return sorted(dict.fromkeys(known), key=lambda name: name != content.metric)
