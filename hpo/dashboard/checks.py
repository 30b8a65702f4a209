"""Checks of requests that optuna-dashboard would answer with an internal error.

optuna-dashboard expects requests of its own page: bodies with the right keys, numbers that are
numbers, studies that exist. Other requests get an answer that says what is wrong with them.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from pydantic import Field

from hpo.config.errors import InputError
from hpo.config.parsing import parse_json
from hpo.dashboard.responses import API, refuse
from hpo.dashboard.view import DashboardStorage

_Name = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True)
class _NewStudy:
    study_name: _Name
    directions: list[str]


@dataclass(frozen=True)
class _Rename:
    study_name: _Name


@dataclass(frozen=True)
class _Note:
    body: str
    version: int


@dataclass(frozen=True)
class _Preference:
    mode: str
    candidates: list[int]
    clicked: int


@dataclass(frozen=True)
class _FeedbackComponent:
    output_type: str
    artifact_key: str | None = None


_STUDY = r"/api/studies/[0-9]+"
_BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/api/studies"): _NewStudy,
    ("POST", f"{_STUDY}/rename"): _Rename,
    ("PUT", f"{_STUDY}(/[0-9]+)?/note"): _Note,
    ("POST", f"{_STUDY}/preference"): _Preference,
    ("PUT", f"{_STUDY}/preference_feedback_component"): _FeedbackComponent,
    ("DELETE", _STUDY): dict[str, Any],
}
"""The content of JSON bodies, by method and path."""

_OF_A_STUDY = re.compile(r"/(?:api/studies|csv)/(?P<study>-?[0-9]+)(?:/.*)?")
_LONG_NUMBER = re.compile(r"/-?[0-9]{19,}(?:/|$)")
_PARETO_FRONT = re.compile(rf"{_STUDY}/plot/pareto_front")


def check_requests(app: WSGIApplication, view: DashboardStorage) -> WSGIApplication:
    """Refuse requests about studies that do not exist, and requests with an invalid content."""

    def middleware(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        environ.setdefault("HTTP_ACCEPT_ENCODING", "")  # optuna-dashboard relies on it
        path = environ["PATH_INFO"].rstrip("/")  # as optuna-dashboard does
        study = _OF_A_STUDY.fullmatch(path)
        if _LONG_NUMBER.search(path) or (study and not _exists(view, int(study["study"]))):
            return refuse(environ, start, "404 Not Found", "There is no such study.")
        try:
            _check_query(view, environ, path)
            _check_body(environ, path)
        except InputError as error:
            return refuse(environ, start, "400 Bad Request", str(error))
        return app(environ, start)

    return middleware


def _exists(view: DashboardStorage, study_id: int) -> bool:
    try:
        view.row(study_id)
    except KeyError:
        return False
    return True


def _check_query(view: DashboardStorage, environ: WSGIEnvironment, path: str) -> None:
    """Check what the address asks for.

    Raises:
        InputError: `after` is no number, or a study of one objective has no Pareto front.
    """
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    if not all(re.fullmatch("[0-9]{1,18}", text) for text in query.get("after", ())):
        raise InputError("after must be the number of a trial.")
    if _PARETO_FRONT.fullmatch(path):
        n_objectives = len(view.get_study_directions(int(path.split("/")[3])))
        if n_objectives == 1:
            raise InputError("A study of one objective has no Pareto front.")


def _check_body(environ: WSGIEnvironment, path: str) -> None:
    """Check the body of a change, and drop the body of any other request.

    Raises:
        InputError: the body is not the JSON that belongs to the path.
    """
    method, body = environ["REQUEST_METHOD"], b""
    if path.startswith(API) and method in ("POST", "PUT", "DELETE"):
        body = environ["wsgi.input"].read()
        for (its_method, its_path), content in _BODIES.items():
            if method == its_method and re.fullmatch(its_path, path):
                parse_json(content, body or b"{}", "the body of the request")
                environ["CONTENT_TYPE"] = "application/json"
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
