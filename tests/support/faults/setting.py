"""A small study for worker processes."""

import random
from dataclasses import dataclass
from pathlib import Path

from hpo.files.store import ArtifactStore
from hpo.lifecycle.creation import create_from_file
from hpo.study.study import Study

NAME = "faults"
STUDY = """
name = "{name}"
{space}
[data]
source = "table.csv"
target = "y"
[objective]
metric = "rmse"
[training]
max_epochs = {max_epochs}
patience = {max_epochs}
batch_size = 128
precision = "float32"
[sampler]
name = "{sampler}"
[pruner]
name = "{pruner}"
{pruner_settings}
[budget]
n_trials = {n_trials}
"""
SPACE = """
[search_space.model]
depth = { type = "int", low = 1, high = 2 }
width = { type = "int", low = 8, high = 16, step = 8 }
dropout = { type = "float", low = 0.1, high = 0.3 }
[search_space.optimizer]
name = "adamw"
learning_rate = { type = "float", low = 1e-3, high = 1e-2, log = true }
"""
N_ROWS = 2000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A study with its storage and its artifact store."""

    storage_url: str
    store: ArtifactStore
    study: Study

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which the command line finds the study."""
        return {
            "HPO_STORAGE": self.storage_url,
            "HPO_ARTIFACTS": self.store.url,
            "OMP_NUM_THREADS": "1",
        }

    def close(self) -> None:
        """Close this process's connections."""
        self.study.storage.close()


def make_setting(
    folder: Path,
    storage_url: str,
    artifacts: Path | str | None = None,
    *,
    n_trials: int,
    max_epochs: int = 300,
    pruner: str = "none",
    name: str = NAME,
    sampler: str = "random",
    space: str = SPACE,
) -> Setting:
    """Write a table and a study file, and create the study.

    Args:
        folder: for the files, and for the artifacts if `artifacts` is None.
        storage_url: URL of the storage.
        artifacts: folder or URL of the artifact store.
        n_trials: the budget.
        max_epochs: of each trial; an epoch takes about 3 ms.
        pruner: `none` or `median`; the median pruner waits for half of the epochs.
        name: of the study.
        sampler: of the study.
        space: the search space, in TOML.
    """
    table = folder / "table.csv"
    if not table.exists():
        table.write_text(_table())
    warmup = f"n_warmup_steps = {max_epochs // 2}" if pruner == "median" else ""
    path = folder / f"{name}.toml"
    path.write_text(
        STUDY.format(
            name=name,
            space=space,
            sampler=sampler,
            max_epochs=max_epochs,
            pruner=pruner,
            pruner_settings=warmup,
            n_trials=n_trials,
        )
    )
    store_url = str(artifacts or folder / "artifacts")
    created = create_from_file(path, storage_url, store_url)
    study, store = created.study, created.store
    return Setting(storage_url=storage_url, store=store, study=study)


def _table() -> str:
    """A CSV file whose target depends on two columns, with some noise."""
    generator = random.Random(0)
    lines = ["a,b,c,y"]
    for _ in range(N_ROWS):
        a, b, noise = (generator.gauss(0, 1) for _ in range(3))
        kind = generator.choice(("red", "green"))
        y = a * b + (a if kind == "red" else -b) + 0.1 * noise
        lines.append(f"{a:.5f},{b:.5f},{kind},{y:.5f}")
    return "\n".join(lines) + "\n"
