"""Which changes the dashboard lets through: none when it only reads, else notes, and new studies.

Of a study that hpo made, everything else has a command, which keeps rows, leases and weights
together; optuna-dashboard would rename a study by copying half of it, and delete one under its
workers. Studies of other programs are theirs to change.
"""

import re
from collections.abc import Iterable

from hpo.dashboard.responses import App, Environ, Start, refuse
from hpo.dashboard.view import DashboardStorage

READING = frozenset({"GET", "HEAD", "OPTIONS"})
STUDIES = re.compile(r"/api/studies")
STUDY = re.compile(r"/api/studies/(?P<study>[0-9]{1,18})(?P<what>/.*)?")
NOTE = re.compile(r"(/[0-9]{1,18})?/note")


def restrained(app: App, view: DashboardStorage, *, read_only: bool) -> App:
    """Refuse changes that are not the dashboard's to make, in a sentence."""

    def restrain(environ: Environ, start: Start) -> Iterable[bytes]:
        sentence = None
        if environ["REQUEST_METHOD"] not in READING:
            path = environ["PATH_INFO"].rstrip("/")  # as the application does
            sentence = READ_ONLY if read_only else _obstacle(view, path)
        if sentence is not None:
            return refuse(environ, start, "403 Forbidden", sentence)
        return app(environ, start)

    return restrain


READ_ONLY = "This dashboard is read-only."


def _obstacle(view: DashboardStorage, path: str) -> str | None:
    """Why a change is not let through; None when it is."""
    if STUDIES.fullmatch(path):
        return None
    if (asked := STUDY.fullmatch(path)) is None:
        return "This dashboard changes no trials and keeps no files: workers do."
    try:
        row = view.row(int(asked["study"]))
    except KeyError:
        return None  # the application says so
    what = asked["what"] or ""
    if row.uuid is None or NOTE.fullmatch(what):
        return None
    if not what:
        return f"hpo delete {row.name} deletes the study, with its weights."
    if what == "/rename":
        return f"Study {row.name} keeps its name, by which its workers know it."
    return f"Study {row.name} is changed by its workers, and by hpo's commands."
