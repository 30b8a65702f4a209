"""What samplers and pruners read, and how seldom."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import event

from hpo.catalog import create_study, open_study
from hpo.storage import reader
from hpo.storage.engine import Storage, open_storage
from hpo.study import Claim, Study, WorkerId
from hpo.trial import Measurement
from tests.study_process import definition

ME = WorkerId(host="here", pid=1, device="cpu")
OTHER = WorkerId(host="there", pid=2, device="cpu")


@pytest.fixture
def storage(storage_url: str) -> Iterator[Storage]:
    with closing(open_storage(storage_url)) as opened:
        yield opened


@pytest.fixture
def rival(storage: Storage) -> Iterator[Storage]:
    """The same database, seen by another process."""
    with closing(open_storage(storage.url)) as opened:
        yield opened


def ask(study: Study, worker: WorkerId = ME) -> Claim:
    claim = study.ask(worker, 60.0)
    assert claim is not None
    return claim


def states(storage: Storage) -> list[str]:
    """As a pruner reads them."""
    return [trial.state.name for trial in storage.reader.get_all_trials(1, deepcopy=False)]


@contextmanager
def statements(storage: Storage) -> Iterator[list[str]]:
    """The SQL that is sent meanwhile."""
    sent: list[str] = []

    def note(conn: object, cursor: object, statement: str, *rest: object) -> None:
        sent.append(statement)

    engines = {storage._reads, storage._writes}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield sent
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def test_own_tells_are_seen_at_once_and_others_after_a_while(
    storage: Storage, rival: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = create_study(storage, definition(), "store")
    theirs = open_study(rival, "study")
    claim, other = ask(mine), ask(theirs, OTHER)
    assert states(storage) == ["RUNNING", "RUNNING"]
    theirs.finish(other, "COMPLETE", 1.0, {})
    assert states(storage) == ["RUNNING", "RUNNING"]
    monkeypatch.setattr(reader, "STALE_SECONDS", 0.0)
    assert states(storage) == ["RUNNING", "COMPLETE"]
    monkeypatch.undo()
    mine.finish(claim, "COMPLETE", 1.0, {})
    assert states(storage) == ["COMPLETE", "COMPLETE"]


def test_a_report_costs_two_statements_whatever_else_is_running(storage: Storage) -> None:
    study = create_study(storage, definition(n_trials=30), "store")
    claims = [ask(study) for _ in range(20)]
    study.report({claims[0]: [Measurement(step=1, value=1.0)]})
    batch = {claim: [Measurement(step=2, value=1.0)] for claim in claims}
    with statements(storage) as sent:
        study.report(batch)
    assert [statement.split()[0] for statement in sent] == (
        ["BEGIN", "UPDATE", "INSERT"] if "sqlite" in storage.url else ["UPDATE", "INSERT"]
    )


def test_a_sampler_sees_what_others_told_just_now(storage: Storage, rival: Storage) -> None:
    mine = create_study(storage, definition(), "store")
    theirs = open_study(rival, "study")
    ask(mine)
    other = ask(theirs, OTHER)
    assert states(storage) == ["RUNNING", "RUNNING"]
    theirs.finish(other, "COMPLETE", 1.0, {})
    ask(mine)
    assert states(storage) == ["RUNNING", "COMPLETE", "RUNNING"]


def test_nothing_is_written_of_a_trial_while_it_is_held(storage: Storage) -> None:
    study = create_study(storage, definition(), "store")
    claim = ask(study)
    with storage.reader.held(claim.trial_id) as notes:
        storage.reader.set_trial_system_attr(claim.trial_id, "rung", 1)
    assert notes.system_attrs == {"rung": 1}
    assert study.trials()[0].system_attrs.get("rung") is None
    storage.plain.set_trial_system_attr(claim.trial_id, "note", 2)  # as the dashboard does
    assert study.trials()[0].system_attrs["note"] == 2
