"""The dashboard of a soak: a real process, asked as its page asks, and opened in Chromium."""

import gzip
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benches.records import Record, memory
from benches.server_load import process_seconds

from tests.support.browser import chromium

if TYPE_CHECKING:
    from playwright import sync_api

NEW, ALL, PROCESS = "dashboard: new trials", "dashboard: all trials", "dashboard"
_FINAL = ("Complete", "Pruned", "Fail")
_PAGE_SECONDS = 300
_IS_DRAWN = """n => [...document.querySelectorAll(".js-plotly-plot")].some(
    plot => plot.querySelectorAll(".scatterlayer .point").length >= n)"""
_FRAME = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


class Dashboard:
    """A running `hpo dashboard` and the page of a study.

    Attributes:
        n_known: number of finished trials that the page has; it asks for those after them.
    """

    def __init__(self, process: subprocess.Popen[str], study_id: int) -> None:
        """Ask a dashboard that has just been started."""
        assert process.stdout is not None
        self._address = process.stdout.readline().split()[0]
        self._process = process
        self._path = f"/api/studies/{study_id}"
        self.page = f"{self._address}studies/{study_id}"
        self.n_known = 0

    def ask(self, *, anew: bool = False) -> Iterator[Record]:
        """Ask for the trials that the page does not have yet, or for all; what that took."""
        after = 0 if anew else self.n_known
        cpu, wall = process_seconds(self._process.pid), time.perf_counter()
        connection = http.client.HTTPConnection(urlsplit(self._address).netloc, timeout=600)
        connection.request(
            "GET", f"{self._path}?after={after}", headers={"Accept-Encoding": "gzip"}
        )
        answer = connection.getresponse()
        body = answer.read()
        wall, cpu = time.perf_counter() - wall, process_seconds(self._process.pid) - cpu
        connection.close()
        if answer.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        states = [trial["state"] for trial in json.loads(body)["trials"]]
        n_final = next((n for n, s in enumerate(states) if s not in _FINAL), len(states))
        self.n_known = after + n_final
        n_trials = after + len(states)
        yield Record(n_trials, ALL if anew else NEW, 1000 * wall, 1000 * cpu)
        yield Record(n_trials, PROCESS, memory(self._process.pid), 0.0)


@contextmanager
def dashboard(storage: str, artifacts: str, study_id: int) -> Iterator[Dashboard]:
    """Run `hpo dashboard` on a free port of this machine."""
    places = ["--storage", storage, "--artifacts", artifacts]
    command = [sys.executable, "-m", "hpo", "dashboard", *places, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Dashboard(process, study_id)
        finally:
            process.terminate()


def seconds_to_open(page: str, n_points: int) -> tuple[float, float]:
    """Seconds until a study's page shows its history: in a new browser, and once again.

    Args:
        page: address of the page.
        n_points: number of trials that the history shows.
    """
    with chromium() as browser, browser.new_context() as context:
        tab = context.new_page()
        tab.set_default_timeout(1000 * _PAGE_SECONDS)
        return _open(tab, page, n_points), _open(tab, page, n_points)


def _open(tab: "sync_api.Page", page: str, n_points: int) -> float:
    start = time.perf_counter()
    tab.goto(page, wait_until="commit")
    tab.wait_for_function(_IS_DRAWN, arg=n_points)
    tab.evaluate(_FRAME)  # what was drawn is on the screen
    return time.perf_counter() - start
