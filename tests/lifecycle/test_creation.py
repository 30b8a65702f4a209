"""Creation reads and encodes a table once, and hands it on."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hpo.data.dataset
import hpo.lifecycle.creation
import hpo.study.sampling
from hpo.data.preprocessing import Preprocessor
from hpo.data.table import Table
from hpo.lifecycle.creation import CreatedStudy, create_from_file
from hpo.models.experiment import load_experiment
from hpo.sklearn import MLPSearchClassifier
from tests.support.small_study import write_study


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often tables are read, typed, split and encoded, preprocessing fitted, grids listed."""
    counts: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(hpo.lifecycle.creation, "read_raw")
    count(hpo.data.dataset, "resolve_task")
    count(hpo.data.dataset, "split_rows")
    count(Preprocessor, "fit")
    count(Table, "read")
    count(Table, "fingerprint")
    count(hpo.study.sampling, "grid")
    return counts


def create(folder: Path, path: Path) -> CreatedStudy:
    return create_from_file(path, f"sqlite:///{folder}/hpo.db", str(folder / "artifacts"))


@pytest.mark.slow
def test_a_table_is_read_and_encoded_once(tmp_path: Path, calls: Counter[str]) -> None:
    created = create(tmp_path, write_study(tmp_path))
    assert created.experiment.dataset.schema.task == "binary"
    assert calls == {"read_raw": 1, "resolve_task": 1, "split_rows": 1, "fingerprint": 1}


def test_a_fit_in_this_process_trains_on_the_dataset_of_the_creation(calls: Counter[str]) -> None:
    space = {
        "preprocessing": {"numeric": "standard"},
        "model": {"width": {"type": "int", "low": 4, "high": 12}},
    }
    search = MLPSearchClassifier(n_trials=3, max_epochs=1, search_space=space)
    search.fit([[x, x % 5] for x in range(60)], [x % 7 > 3 for x in range(60)])
    assert len(search.study_.trials) == 3
    assert calls == {"resolve_task": 1, "split_rows": 1, "fingerprint": 1, "fit": 1}


def test_the_dataset_is_that_which_other_processes_make_of_the_stored_table(tmp_path: Path) -> None:
    created = create(tmp_path, write_study(tmp_path))
    stored = load_experiment(created.store, created.study.definition.data).dataset
    own = created.experiment.dataset
    assert any("the positive class is" in note for note in created.study.notes)
    assert own.schema == stored.schema
    for name in ("train", "val", "test"):
        pair = own.part(name), stored.part(name)
        torch.testing.assert_close(*pair, rtol=0, atol=0, equal_nan=True)


def test_a_grid_is_listed_once(tmp_path: Path, calls: Counter[str]) -> None:
    path = write_study(tmp_path)
    rate = 'learning_rate = { type = "float", low = 1e-3, high = 1e-1, log = true }'
    text = path.read_text().replace(rate, "learning_rate = 0.01")
    path.write_text(text + '[sampler]\nname = "grid"\n')
    created = create(tmp_path, path)
    assert created.study.progress().counts == {"WAITING": 2}
    assert created.study.definition.budget.n_trials == 2
    assert calls["grid"] == 1
    create(tmp_path, path)
    assert calls["grid"] == 2
