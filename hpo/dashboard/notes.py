"""The note on a study's page: its progress, budget, data and definition, in Markdown.

Passwords in the URL of the data are hidden.
"""

from collections.abc import Iterator
from datetime import timedelta

import tomli_w

from hpo.config.definition import StudyDefinition
from hpo.config.errors import HpoError
from hpo.config.urls import hide_passwords
from hpo.storage.engine import Storage
from hpo.study.row import StudyRow
from hpo.study.status import StudyStatus
from hpo.study.study import Study

_FENCE = "~~~~~~"
"""Encloses the definition; no line of TOML begins like this."""


def study_note(storage: Storage, row: StudyRow) -> str:
    """Return the note on a study of hpo, or the reason why the study cannot be read."""
    if row.obstacle is not None:
        return str(row.obstacle)
    try:
        study = Study(storage, row)
        status = study.progress()
    except HpoError as error:
        return str(error)
    lines = "\n".join(f"| {what} | {text} |" for what, text in _rows(study, status))
    return (
        f"| | |\n|---|---|\n{lines}\n\n"
        "The definition of the study is below. A note of your own replaces this one until you "
        "empty it.\n\n"
        f"{_FENCE}toml\n{_definition_toml(study.definition)}{_FENCE}\n"
    )


def _definition_toml(definition: StudyDefinition) -> str:
    """Return a definition as a study file, with passwords hidden and the search space last."""
    tree = definition.to_tree()
    tree["data"]["source"] = hide_passwords(definition.data.source)
    space = tree.pop("search_space")
    return tomli_w.dumps({**tree, "search_space": space})


def _rows(study: Study, status: StudyStatus) -> Iterator[tuple[str, str]]:
    definition, budget = study.definition, status.budget
    yield "state", status.state
    metric = definition.metric_label.replace("|", "\\|")
    yield "objective", f"{definition.direction} {metric} on validation"
    if status.best is not None:
        yield "best", f"{status.best.value:.6g} (trial {status.best.number})"
    yield "trials", f"{sum(status.counts.values())} of {budget.n_trials}: {status.counts_text}"
    for what, used, limit in (
        ("time at work", status.busy_seconds, budget.timeout),
        ("device-time", status.device_seconds, budget.device_time),
    ):
        of = "" if limit is None else f" of {_time(limit)}"
        yield what, f"{_time(used)}{of}"
    if budget.no_improvement is not None:
        yield "since the best", f"{status.n_since_best} of {budget.no_improvement} trials"
    if status.workers:
        hosts = sorted({worker.host for worker in status.workers})
        yield "workers", f"{len(status.workers)} on {', '.join(hosts)}"
    if status.silent:
        yield "silent trials", ", ".join(map(str, status.silent))
    yield "data fingerprint", f"`{definition.data.fingerprint}`"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
