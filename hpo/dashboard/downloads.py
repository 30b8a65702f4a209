"""A trial's files over HTTP: the browser saves them and never opens them as a page."""

import re
from collections.abc import Iterable

from hpo.config.errors import HpoError
from hpo.dashboard.answers import App, Environ, Header, Start, refuse, respond
from hpo.dashboard.files import NAMES, File, content
from hpo.dashboard.view import DashboardStorage
from hpo.study.study import Study

ROOT = "/artifacts/"
ADDRESS = re.compile(
    rf"{ROOT}(?P<study>[0-9]{{1,18}})/(?P<trial>[0-9]{{1,18}})/(?P<file>[0-9a-f-]+)"
)
PICTURE = NAMES["curve"][1]
"""The one type that is said as it is, for browsers to show it within a page."""
ALONE: Header = ("Content-Security-Policy", "default-src 'none'; sandbox")
"""Whatever opens the file all the same runs nothing of it, and as nobody."""


def downloads(app: App, view: DashboardStorage) -> App:
    """Answer for the files of trials; the rest is the application's."""

    def route(environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.startswith(ROOT) or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return app(environ, start)
        try:
            found = _open(view, path)
        except HpoError as error:
            return refuse(environ, start, "503 Service Unavailable", str(error), ALONE)
        if found is None:
            return refuse(environ, start, "404 Not Found", "There is no such file.", ALONE)
        file, data = found
        shown = file.media_type if file.media_type == PICTURE else "application/octet-stream"
        saved = ("Content-Disposition", f'attachment; filename="{file.name}"')
        return respond(start, "200 OK", data, shown, saved, ALONE)

    return route


def _open(view: DashboardStorage, path: str) -> tuple[File, bytes] | None:
    """The file at an address, if there is one."""
    if (asked := ADDRESS.fullmatch(path)) is None:
        return None
    study_id, trial_id = int(asked["study"]), int(asked["trial"])
    try:
        row, trials = view.row(study_id), view.trials_by_id(study_id)
    except KeyError:
        return None
    if trial_id not in trials:
        return None
    trial = trials[trial_id]
    for file in view.files(row, trial):
        if file.id == asked["file"]:
            study = Study(view.storage, row)
            return file, content(study, trial, file.kind, view.store)
    return None
