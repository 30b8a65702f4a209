"""Starts and warm starts on the command line."""

from contextlib import closing
from pathlib import Path

import pytest

from hpo.storage.engine import open_storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import open_study
from tests.support.command_line import hpo
from tests.support.small_study import write_study


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small study file in the current folder."""
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path)


@pytest.mark.slow
def test_a_study_goes_on_in_another_space(file: Path, tmp_path: Path) -> None:
    assert hpo("create", file).code == 0
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as storage:
        study = open_study(storage, "small")
        for value in (0.5, 0.75, 0.25):
            claim = study.ask(WorkerId(host="here", pid=1, device="cpu"), 60.0)
            assert claim is not None
            study.finish(claim, "COMPLETE", value, {})
        n_shallow = sum(trial.params.get("model.depth") == 1 for trial in study.trials())
    assert n_shallow in (1, 2)
    text = file.read_text().replace("high = 2", "high = 1").replace('"small"', '"next"')
    text += '[sampler]\nname = "tpe"\nwarm_start = ["small"]\n'
    file.write_text(text)
    made = hpo("create", file)
    n_deep = 3 - n_shallow
    misfits = f"{n_deep} {'lies' if n_deep == 1 else 'lie'} outside model.depth"
    said = f"small: {n_shallow} of 3 trials are known results; {misfits}"
    assert (made.code, made.out) == (0, "next\n")
    assert f"note: {said}\n" in made.err
    assert said in hpo("status", "next", "--json").document["notes"]
    assert said in hpo("create", file).err
    assert hpo("delete", "small", "--yes").code == 0
    assert said in hpo("create", file).err


def test_a_warm_start_from_nothing_writes_nothing(file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text() + '[sampler]\nname = "tpe"\nwarm_start = ["houses"]\n')
    made = hpo("create", file)
    assert made.code == 2
    assert made.err == (
        f"hpo: {file}: sampler.warm_start: no study houses in sqlite:///{tmp_path}/hpo.db; "
        "it has none yet\n"
    )
    assert hpo("studies", "--json").document == []
    assert not list((tmp_path / "hpo-artifacts").rglob("*.parquet"))


def test_a_wrong_start_writes_nothing(file: Path, tmp_path: Path) -> None:
    text = file.read_text().replace(
        "[data]", "[[search_space.start]]\nmodel = { depth = 3 }\n\n[data]"
    )
    file.write_text(text)
    made = hpo("create", file)
    said = "search_space: start[0].model.depth: must be from 1 to 2, but got 3"
    assert (made.code, made.err) == (2, f"hpo: {file}: {said}\n")
    assert not (tmp_path / "hpo.db").exists()
