"""The JSON of a study's page: its trials, and what optuna-dashboard says about the study.

optuna-dashboard turns all trials into JSON for every page, which takes seconds for 20,000 of them.
Here the JSON of a finished trial is kept until the trial or its note changes. The rest of the
answer is kept as well while all trials are finished and nothing changes.

The JSON of a study with more than `MAX_CURVES` trials is thin. It has no learning curves, because a
browser would draw 20,000 of them for minutes; each trial still offers its own curve as a file. It
has no distributions of the trials' params, which are half of the JSON; the page reads those of the
study's search space.
"""

import copy
import gzip
import json
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.trial import FrozenTrial
from optuna_dashboard._serializer import serialize_frozen_trial

from hpo.config.errors import HpoError
from hpo.dashboard.responses import API, call, refuse, respond
from hpo.dashboard.view import DashboardStorage
from hpo.storage.cached_storage import sound

MAX_CURVES = 500
_STUDIES = f"{API}studies/"
_NO_TRIALS = f"after={sys.maxsize}"
"""The query for everything but trials."""
_OF_TRIALS = "dashboard:"
"""How the keys of optuna-dashboard's attributes begin."""
_STALE_SECONDS = 10.0
"""How old the trials may be from which optuna-dashboard makes its answer."""


@dataclass(kw_only=True)
class Detail:
    """What is kept of a study's JSON.

    Attributes:
        attrs: system attributes of the study.
        is_thin: whether the JSON lacks learning curves and distributions.
        trials: each trial and its JSON, by number.
        since: `time.monotonic()` at which something was last seen to change.
        rest: the JSON without the trials, once it is settled.
        packed: the whole JSON, compressed, once it is settled and was asked for.
    """

    attrs: Mapping[str, Any]
    is_thin: bool
    trials: list[tuple[FrozenTrial, str]] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)
    rest: dict[str, Any] | None = None
    packed: bytes | None = None

    @property
    def of_trials(self) -> Mapping[str, Any]:
        """The attributes that the JSON of trials depends on, such as their notes."""
        return {key: value for key, value in self.attrs.items() if key.startswith(_OF_TRIALS)}

    @property
    def is_settled(self) -> bool:
        """Whether all trials are finished, and optuna-dashboard has seen the last of them."""
        is_old = time.monotonic() > self.since + _STALE_SECONDS
        return is_old and all(trial.state.is_finished() for trial, _ in self.trials)

    def json(self, rest: Mapping[str, Any], after: int = 0) -> bytes:
        """The JSON with the trials from number `after` on."""
        texts = ", ".join(text for _, text in self.trials[after:])
        return f'{{"trials": [{texts}], {json.dumps(rest)[1:]}'.encode()


class Details:
    """The details of all studies; safe for any thread."""

    def __init__(self, view: DashboardStorage) -> None:
        """Read the trials from a storage."""
        self._view = view
        self._kept: dict[int, Detail] = {}
        self._lock = threading.Lock()

    def read(self, study_id: int) -> Detail:
        """Return the current detail of a study.

        Raises:
            KeyError: the study does not exist.
            HpoError: the storage cannot be read.
        """
        with self._lock:
            trials = self._view.get_all_trials(study_id, deepcopy=False)
            attrs = sound(self._view.row(study_id).attrs)
            now = Detail(attrs=attrs, is_thin=len(trials) > MAX_CURVES)
            known: dict[int, tuple[FrozenTrial, str]] = {}
            before = self._kept.get(study_id)
            if before is not None and before.is_thin == now.is_thin:
                is_same = [id(pair[0]) for pair in before.trials] == [*map(id, trials)]
                if is_same and before.attrs == attrs:
                    return before
                if before.of_trials == now.of_trials:
                    known = {pair[0]._trial_id: pair for pair in before.trials}
            of_trials = now.of_trials
            for trial in trials:
                pair = known.get(trial._trial_id)
                if pair is None or pair[0] is not trial:
                    pair = trial, _text(study_id, trial, of_trials, is_thin=now.is_thin)
                now.trials.append(pair)
            self._kept[study_id] = now
            return now


def serve_details(app: WSGIApplication, view: DashboardStorage) -> WSGIApplication:
    """Answer what a study's page asks for: optuna-dashboard's answer, with the trials from here."""
    details = Details(view)

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        study = environ["PATH_INFO"].rstrip("/").removeprefix(_STUDIES)
        if environ["REQUEST_METHOD"] != "GET" or not study.isdecimal():
            return app(environ, start)
        try:
            detail = details.read(int(study))
        except KeyError:  # deleted
            return app(environ, start)
        except HpoError as error:
            return refuse(environ, start, "503 Service Unavailable", str(error))
        if (rest := detail.rest) is None:
            is_settled = detail.is_settled
            status, headers, body = call(app, {**environ, "QUERY_STRING": _NO_TRIALS})
            if not status.startswith("200"):
                start(status, headers.items())
                return [body]
            rest = json.loads(body)
            del rest["trials"]
            rest["has_intermediate_values"] &= not detail.is_thin
            if is_settled:
                detail.rest = rest
        after = int(parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[-1])
        is_kept = after == 0 and detail.rest is not None
        if not is_kept or "gzip" not in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body = detail.json(rest, after)
            return respond(start, "200 OK", body, "application/json")
        if detail.packed is None:
            detail.packed = gzip.compress(detail.json(rest), 1)
        packed = ("Content-Encoding", "gzip")
        return respond(start, "200 OK", detail.packed, "application/json", packed)

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
