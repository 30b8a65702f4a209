"""A trial's `config.toml`, which `hpo train` takes.

Does not know: studies, storages, who reads the file.
"""

from dataclasses import asdict

import tomli_w

from hpo.trial import TrialConfig


def config_toml(config: TrialConfig, note: str) -> str:
    """A trial's configuration as the file that `hpo train` takes; the note is its first line."""
    tree = asdict(config)
    if config.data.split.column is None:
        del tree["data"]["split"]["column"]
    else:
        tree["data"]["split"] = {"column": config.data.split.column}
    return f"# {note}\n# `hpo train config.toml` trains it again.\n\n{tomli_w.dumps(tree)}"
