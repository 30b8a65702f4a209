"""Hyperparameter search for PyTorch MLPs on tables.

The names below are imported on first use, so that `import hpo.training` needs only torch, and
`hpo --help` does not import torch.
"""

from typing import TYPE_CHECKING, Any

from hpo.config.version import __version__

if TYPE_CHECKING:
    from hpo.api import StudyResults, load_model, load_study, run

__all__ = ["StudyResults", "__version__", "load_model", "load_study", "run"]


def __getattr__(name: str) -> Any:
    """Import the Python API on first use."""
    if name in __all__:
        from hpo import api

        return getattr(api, name)
    raise AttributeError(f"module 'hpo' has no attribute {name!r}")
