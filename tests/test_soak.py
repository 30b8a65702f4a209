"""A short run of `scripts/bench soak`: its processes, records, audit and table."""

import argparse
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from tests.support import machine
from tests.support.paths import ROOT

sys.path.append(str(ROOT / "scripts"))
from benches import soak
from benches.records import Record

N_TRIALS = 24


@pytest.mark.slow
def test_a_soak_records_all_calls_and_finds_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'scripts'}")
    monkeypatch.setattr(soak, "POLL_SECONDS", 0.5)
    options = argparse.Namespace(n_trials=N_TRIALS, workers=2, epochs=4, epoch_seconds=0.005)
    found = soak.soak("sqlite", f"sqlite:///{tmp_path / 'hpo.db'}", options, [12, N_TRIALS])
    assert found.faults == []
    assert found.counts.total() == N_TRIALS
    n_calls = Counter(record.what for record in found.records)
    assert {*soak.CALLS, *soak.MEMORY} <= n_calls.keys()
    assert n_calls["tell"] == N_TRIALS
    assert max(record.n_trials for record in found.records) == N_TRIALS
    assert len(found.pages) == (0 if machine.CHROMIUM.lack else 3)


def test_records_are_shown_by_the_number_of_trials() -> None:
    records = [
        Record(3, "claim", 2.0, 1.0),
        Record(10, "claim", 4.0, 2.0),
        Record(11, "claim", 8.0, 3.0),
        Record(99, "worker", 50.0, 0.0),  # beyond the last interval
    ]
    found = soak.Soak(
        storage="sqlite", seconds=60.0, records=records, counts=Counter(), faults=["a"], pages=()
    )
    console = Console(width=100, record=True, file=sys.stderr)
    for line in soak.report(found, [10, 20]):
        console.print(line)
    shown = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    assert ["claim", "3.0", "(1.5)", "8.0", "(3.0)"] in shown
    assert ["worker", "-", "50.0"] in shown
    assert ["sqlite:", "audit:", "1", "faults"] in shown
