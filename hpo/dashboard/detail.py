"""The JSON of the page of one of hpo's studies: its trials, and what the page shows of all of them.

optuna-dashboard makes the JSON of all trials again for every page, and collects their params and
attributes again, which takes seconds for 20,000 trials. Here the JSON of a finished trial is kept
until the trial or a note changes, and params and attributes are collected from new trials only.

The JSON of a study with more than `MAX_CURVES` trials is thin. It has no learning curves, because a
browser would draw 20,000 of them for minutes; each trial still offers its own curve as a file. It
has no distributions of the trials' params, which are half of the JSON; the page reads those of the
study's search space.
"""

import copy
import gzip
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._serializer import serialize_frozen_trial, serialize_study_detail

from hpo.config.errors import HpoError
from hpo.dashboard.responses import API, refuse, respond
from hpo.dashboard.view import DashboardStorage
from hpo.storage.cached_storage import sound
from hpo.storage.damage import is_number
from hpo.study.row import StudyRow

MAX_CURVES = 500
_STUDIES = f"{API}studies/"
_NOTES = "dashboard:"
"""How the keys of optuna-dashboard's attributes begin."""

_Space = set[tuple[str, BaseDistribution]]


@dataclass(kw_only=True)
class Overview:
    """What the page shows of all trials.

    Attributes:
        union: the params of any trial.
        intersection: the params of every trial that has some.
        attrs: the user attributes of any trial, and whether all values of each are numbers.
        has_curves: whether a trial has a learning curve.
    """

    union: _Space = field(default_factory=set)
    intersection: _Space | None = None
    attrs: dict[str, bool] = field(default_factory=dict)
    has_curves: bool = False

    @property
    def spaces(self) -> list[list[tuple[str, BaseDistribution]]]:
        """Intersection and union by name."""
        found = self.intersection or set(), self.union
        return [sorted(space, key=lambda param: param[0]) for space in found]

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial, again if it has changed."""
        for key, value in trial.user_attrs.items():
            self.attrs[key] = self.attrs.get(key, True) and is_number(value)
        if trial.state == TrialState.FAIL:
            return
        self.has_curves |= bool(trial.intermediate_values)
        if own := set(trial.distributions.items()):
            self.union |= own
            self.intersection = own if self.intersection is None else self.intersection & own


@dataclass(kw_only=True)
class Detail:
    """What is kept of a study's JSON.

    Attributes:
        row: of the study.
        is_thin: whether the JSON lacks learning curves and distributions.
        trials: each trial and its JSON, by number.
        overview: of the trials.
    """

    row: StudyRow
    is_thin: bool
    trials: list[tuple[FrozenTrial, str]] = field(default_factory=list)
    overview: Overview = field(default_factory=Overview)
    _compressed: tuple[str, bytes] | None = None

    @property
    def notes(self) -> Mapping[str, Any]:
        """The attributes of the study that the JSON of trials depends on."""
        attrs = sound(self.row.attrs)
        return {key: value for key, value in attrs.items() if key.startswith(_NOTES)}

    def is_of_kind(self, other: "Detail") -> bool:
        """Whether the JSON of equal trials is equal in both; a study id can be assigned again."""
        own, its = ((d.row.uuid, d.is_thin, d.notes) for d in (self, other))
        return own == its

    def best(self, direction: StudyDirection) -> list[FrozenTrial]:
        """The best COMPLETE trial, if there is one."""
        sign = -1 if direction is StudyDirection.MAXIMIZE else 1
        trials = [trial for trial, _ in self.trials]
        complete = [t for t in trials if t.state == TrialState.COMPLETE and t.values]
        return [min(complete, key=lambda t: sign * t.values[0])] if complete else []

    def json(self, rest: str, after: int = 0) -> bytes:
        """The JSON with the trials from number `after` on; `rest` is the JSON of the rest."""
        texts = ", ".join(text for _, text in self.trials[after:])
        return f'{{"trials": [{texts}], {rest[1:]}'.encode()

    def compressed(self, rest: str) -> bytes:
        """The JSON with all trials, compressed; kept until the rest changes."""
        kept = self._compressed
        if kept is None or kept[0] != rest:
            self._compressed = kept = rest, gzip.compress(self.json(rest), 1)
        return kept[1]


class Details:
    """The details of all studies; safe for any thread."""

    def __init__(self, view: DashboardStorage) -> None:
        """Read the trials from a storage."""
        self._view = view
        self._kept: dict[int, Detail] = {}
        self._lock = threading.Lock()

    def read(self, study_id: int) -> tuple[Detail, str] | None:
        """Return the current detail of a study and the JSON without trials.

        Returns:
            None if the study does not exist, or another program made it.

        Raises:
            HpoError: the storage cannot be read.
        """
        with self._lock:
            try:
                row = self._view.row(study_id)
                if not row.is_ours:
                    return None
                study = {s._study_id: s for s in self._view.get_all_studies()}[study_id]
                trials = self._view.get_all_trials(study_id, deepcopy=False)
            except KeyError:
                return None
            detail = self._update(row, trials)
            spaces, attrs = detail.overview.spaces, sorted(detail.overview.attrs.items())
        rest = serialize_study_detail(
            study,
            detail.best(study.directions[0]),
            [],
            *spaces,
            attrs,
            detail.overview.has_curves and not detail.is_thin,
            get_plotly_graph_objects(study.system_attrs),
            [],
        )
        del rest["trials"]
        return detail, json.dumps(rest)

    def _update(self, row: StudyRow, trials: Sequence[FrozenTrial]) -> Detail:
        now = Detail(row=row, is_thin=len(trials) > MAX_CURVES)
        known: dict[int, tuple[FrozenTrial, str]] = {}
        before = self._kept.get(row.id)
        if before is not None and before.is_of_kind(now):
            if [id(pair[0]) for pair in before.trials] == [*map(id, trials)]:
                return before
            known = {pair[0]._trial_id: pair for pair in before.trials}
            now.overview = before.overview
        notes = now.notes
        for trial in trials:
            pair = known.get(trial._trial_id)
            if pair is None or pair[0] is not trial:
                pair = trial, _text(row.id, trial, notes, is_thin=now.is_thin)
                now.overview.add(trial)
            now.trials.append(pair)
        self._kept[row.id] = now
        return now


def serve_details(app: WSGIApplication, view: DashboardStorage) -> WSGIApplication:
    """Answer what the page of one of hpo's studies asks for, as optuna-dashboard would."""
    details = Details(view)

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        study = environ["PATH_INFO"].rstrip("/").removeprefix(_STUDIES)
        if environ["REQUEST_METHOD"] != "GET" or not study.isdecimal():
            return app(environ, start)
        try:
            found = details.read(int(study))
        except HpoError as error:
            return refuse(environ, start, "503 Service Unavailable", str(error))
        if found is None:
            return app(environ, start)
        detail, rest = found
        after = int(parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[-1])
        if after or "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
            return respond(start, "200 OK", detail.json(rest, after), "application/json")
        packed = ("Content-Encoding", "gzip")
        return respond(start, "200 OK", detail.compressed(rest), "application/json", packed)

    return middleware


def _text(study_id: int, trial: FrozenTrial, attrs: Mapping[str, Any], *, is_thin: bool) -> str:
    """The JSON of a trial."""
    if is_thin:
        trial = copy.copy(trial)
        trial.intermediate_values = {}
    tree = serialize_frozen_trial(study_id, trial, attrs)
    if is_thin:
        for param in tree["params"]:
            del param["distribution"]
    return json.dumps(tree)
