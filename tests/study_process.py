"""Started as processes by tests: `python study_process.py ROLE URL [ARGUMENTS]`."""

import sys
import time

from hpo.catalog import create_study, open_study
from hpo.definition import StudyDefinition
from hpo.storage.engine import open_storage
from hpo.study import WorkerId


def definition(n_trials: int = 10, **changes: object) -> StudyDefinition:
    """A complete definition with two params."""
    tree = {
        "name": "study",
        "search_space": {
            "model": {"depth": {"type": "int", "low": 1, "high": 4}},
            "optimizer": {
                "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
            },
        },
        "data": {"source": "/t.csv", "target": "y", "task": "regression", "fingerprint": "f"},
        "objective": {"metric": "rmse"},
        "budget": {"n_trials": n_trials},
        **changes,
    }
    from pathlib import Path

    return StudyDefinition.from_tree(tree, "test", Path())


def create(url: str) -> None:
    """Create the study."""
    print(create_study(open_storage(url), definition(), "store").uuid)


def claim(url: str, start: str) -> None:
    """Claim trials from a given moment on until there are none; print their numbers."""
    study = open_study(open_storage(url), "study")
    worker = WorkerId(host="test", pid=int(start[-6:].replace(".", "")), device="cpu")
    time.sleep(max(0.0, float(start) - time.time()))
    while claimed := study.ask(worker, 60.0):
        print(claimed.number)


def hold(url: str, lease: str) -> None:
    """Claim a trial, say so, and hold it without a sign of life."""
    study = open_study(open_storage(url), "study")
    claimed = study.ask(WorkerId(host="test", pid=1, device="cpu"), float(lease))
    assert claimed is not None
    print(claimed.number, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    {"create": create, "claim": claim, "hold": hold}[sys.argv[1]](*sys.argv[2:])
