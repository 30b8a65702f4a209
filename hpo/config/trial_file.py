"""A trial's `config.toml`, which `hpo train` takes."""

from dataclasses import asdict
from typing import Any

import tomli_w

from hpo.config.trial import TrialConfig, data_tree


def config_toml(config: TrialConfig, note: str) -> str:
    """A trial's configuration as the file that `hpo train` takes; the note is its first line."""
    text = tomli_w.dumps(config_tree(config))
    return f"# {note}\n# `hpo train config.toml` trains it again.\n\n{text}"


def config_tree(config: TrialConfig) -> dict[str, Any]:
    """A trial's configuration by section, as such files have it."""
    return {**asdict(config), "data": data_tree(config.data)}
