"""Study definitions without files."""

from pathlib import Path

from hpo.config.definition import StudyDefinition

SPACE = {
    "model": {
        "width": {"type": "int", "low": 1, "high": 500},
        "dropout": {"type": "float", "low": 0.1, "high": 0.5, "or_zero": True, "default": 0},
    },
    "optimizer": {
        "name": {"type": "categorical", "choices": ["adam", "sgd"]},
        "momentum": {
            "type": "float",
            "low": 0.5,
            "high": 0.9,
            "when": {"optimizer.name": "sgd"},
        },
    },
}
"""A search space with a param of each type, one with a condition."""


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
    return StudyDefinition.from_tree(tree, "test", Path())
