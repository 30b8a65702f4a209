"""A study for the dashboard, and an HTTP client."""

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from hpo.config.trial import Measurement
from hpo.dashboard.server import listening
from hpo.files.store import ArtifactStore, trial_path
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study
from hpo.study.study import Study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
SOURCE = "https://me:topsecret@data.example/t.csv"
WEIGHTS = b"<script>alert(1)</script>"


def make_study(storage: Storage, store: ArtifactStore, n_trials: int = 3) -> Study:
    """Create a study of `n_trials` COMPLETE trials with four epochs each, and one trial to go."""
    data = {"source": SOURCE, "target": "y", "task": "regression", "fingerprint": "f" * 64}
    study = create_study(storage, definition(n_trials + 1, name="houses", data=data), store.id)
    for number in range(n_trials):
        claim = study.ask(ME, 60.0)
        assert claim is not None
        curve = [Measurement(step=step, value=number + 1 / step) for step in range(1, 5)]
        study.report({claim: curve})
        path = trial_path(study.uuid, claim.number, 1, "model.safetensors")
        attrs = {
            "artifact": path,
            "sha256": store.put(path, WEIGHTS),
            "precision": "bfloat16",
            "metrics": {"rmse": number + 0.25, "r2": 0.5},
        }
        study.finish(claim, "COMPLETE", number + 0.25, attrs)
    return study


@contextmanager
def served(app: WSGIApplication) -> Iterator[int]:
    """Serve an application; yield its port."""
    with listening(app, "127.0.0.1", 0) as server:
        server.expiration_interval = 0.02  # seconds that it takes to stop
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server.bind_addr[1]
        finally:
            server.stop()
            thread.join()


def ask(
    port: int, path: str = "/api/studies", method: str = "GET", body: str | None = None, **headers
) -> tuple[http.client.HTTPResponse, str]:
    """Send a request; underscores in header names stand for dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response, text


def detail(port: int, **headers: str) -> dict[str, Any]:
    """The first study as optuna-dashboard's API returns it."""
    response, text = ask(port, "/api/studies/1", **headers)
    assert response.status == 200, text
    found: dict[str, Any] = json.loads(text)
    return found


def reason(text: str) -> str:
    """The reason in a refusal, which the page shows."""
    return str(json.loads(text)["reason"])


def basic(password: str, user: str = "me") -> str:
    """The header that `curl --user` sends."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def store_at(folder: Path) -> ArtifactStore:
    """Create an artifact store in a folder."""
    return ArtifactStore(str(folder / "artifacts"))
