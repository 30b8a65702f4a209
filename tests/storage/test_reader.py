"""What samplers and pruners read, and how seldom."""

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event

from hpo.config.trial import Measurement
from hpo.storage import reader
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.reader import StudyReader
from hpo.storage.schema import TRIALS
from hpo.storage.trials import read_study_trials
from hpo.study.catalog import create_study, open_study
from hpo.study.claim import Claim
from hpo.study.study import Study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
OTHER = WorkerId(host="there", pid=2, device="cpu")


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


@pytest.mark.slow
def test_a_report_costs_two_statements_whatever_else_is_running(storage: Storage) -> None:
    study = create_study(storage, definition(n_trials=30), "store")
    claims = [ask(study) for _ in range(20)]
    study.report({claims[0]: [Measurement(step=1, value=1.0)]})
    batch = {claim: [Measurement(step=2, value=1.0)] for claim in claims}
    with statements(storage) as sent:
        study.report(batch)
    assert [statement.split()[0] for statement in sent] == ["UPDATE", "INSERT"]


def test_asking_and_telling_cost_as_much_whatever_else_is_there(storage: Storage) -> None:
    study = create_study(storage, definition(n_trials=100, sampler={"name": "random"}), "store")

    def cost() -> tuple[int, int]:
        with statements(storage) as asked:
            claim = ask(study)
        study.report({claim: [Measurement(step=1, value=1.0)]})
        with statements(storage) as told:
            study.finish(claim, "COMPLETE", 1.0, {})
        return len(asked), len(told)

    ask(study)  # the default configuration, which is queued
    cost()
    before = cost()
    for index in range(60):
        claim = ask(study)
        if index % 2:
            study.finish(claim, "PRUNED", 1.0, {})
    assert cost() == before


@pytest.mark.parametrize("what", ["ask", "tell"])
def test_no_trial_that_ended_is_looked_at(tmp_path: Path, what: str) -> None:
    """SQLite runs as many steps of its program for 1,000 finished trials as for 10."""
    with closing(open_storage(f"sqlite:///{tmp_path / 'hpo.db'}")) as storage:
        definition_ = definition(n_trials=2000, sampler={"name": "random"})
        study = create_study(storage, definition_, "store")
        n_steps = 0

        def count() -> None:
            nonlocal n_steps
            n_steps += 1

        def watch(conn: sa.Connection, *rest: object) -> None:
            conn.connection.dbapi_connection.set_progress_handler(count, 10)

        for engine in (storage._reads, storage._writes):
            event.listen(engine, "before_cursor_execute", watch)
        found = []
        for n in (10, 1000):
            for lease in study.claim(ME, 60.0, n):
                claim = Claim(**vars(lease), params={})
                study.finish(claim, "COMPLETE", 1.0, {})
            claims = [ask(study) for _ in range(3)] if what == "tell" else []
            n_steps = 0
            for _ in range(3):
                if what == "ask":
                    study.claim(ME, 60.0)
                else:
                    study.finish(claims.pop(), "COMPLETE", 1.0, {})
            found.append(n_steps)
        assert found[1] < 1.2 * found[0]


def test_a_look_reads_what_is_new(storage: Storage, rival: Storage) -> None:
    mine = create_study(storage, definition(n_trials=100), "store")
    theirs = open_study(rival, "study")
    claims = [ask(mine) for _ in range(30)]
    for claim in claims[:20]:
        mine.report({claim: [Measurement(step=step, value=1.0) for step in (1, 2)]})
        mine.finish(claim, "COMPLETE", 1.0, {})
    assert states(storage).count("COMPLETE") == 20
    mine.report({claims[20]: [Measurement(step=1, value=1.0)]})
    theirs.finish(claims[20], "COMPLETE", 1.0, {})
    storage.reader.invalidate(1)
    with statements(storage) as sent:
        assert states(storage).count("COMPLETE") == 21
    reads = [statement for statement in sent if "trial_intermediate_values" in statement]
    assert len(reads) == 1
    assert reads[0].rstrip().endswith(f"IN ({claims[20].trial_id})")
    assert len(sent) == 9
    storage.reader.invalidate(1)
    with statements(storage) as sent:
        assert len(states(storage)) == 30
    assert len(sent) == 4


def test_what_unfinished_trials_report_is_not_read(storage: Storage) -> None:
    study = create_study(storage, definition(), "store")
    claim = ask(study)
    study.report({claim: [Measurement(step=1, value=1.0)]})
    storage.plain.set_trial_system_attr(claim.trial_id, "completed_rung_0", 1.0)
    storage.reader.invalidate(1)
    (trial,) = storage.reader.get_all_trials(1)
    assert trial.state == TrialState.RUNNING
    assert trial.params == claim.params
    assert trial.system_attrs["completed_rung_0"] == 1.0
    assert trial.intermediate_values == {}
    (whole,) = study.trials()
    assert whole.intermediate_values == {1: 1.0}


def ended(storage: Storage) -> list[float]:
    """What the finished trials reported at their first step."""
    return [trial.intermediate_values[1] for trial in storage.reader.snapshot(1).ended]


def change(storage: Storage, claim: Claim, state: TrialState) -> None:
    """As a retry or a quarantine do."""
    own = TRIALS.c.trial_id == claim.trial_id
    storage.write(lambda c: c.execute(sa.update(TRIALS).where(own).values(state=state)))
    storage.reader.invalidate(1)


def test_a_finished_trial_that_was_changed_is_read_when_it_is_forgotten(storage: Storage) -> None:
    study = create_study(storage, definition(), "store")
    claim = ask(study)
    study.report({claim: [Measurement(step=1, value=1.0)]})
    study.finish(claim, "COMPLETE", 1.0, {})
    assert states(storage) == ["COMPLETE"]
    change(storage, claim, TrialState.FAIL)
    assert states(storage) == ["COMPLETE"]
    storage.reader.forget(1)
    assert states(storage) == ["FAIL"]
    assert len(storage.reader.snapshot(1).ended) == 1


def test_a_finished_trial_that_is_taken_up_again_is_noticed(storage: Storage) -> None:
    study = create_study(storage, definition(), "store")
    for value in (1.0, 2.0):
        claim = ask(study)
        study.report({claim: [Measurement(step=1, value=value)]})
        study.finish(claim, "COMPLETE", value, {})
    assert ended(storage) == [1.0, 2.0]
    change(storage, claim, TrialState.WAITING)
    assert states(storage) == ["COMPLETE", "WAITING"]
    assert ended(storage) == [1.0]


def test_lists_of_trials_stay_in_order_as_trials_end(storage: Storage) -> None:
    study = create_study(storage, definition(n_trials=30), "store")
    kinds = (None, (TrialState.COMPLETE,), (TrialState.COMPLETE, TrialState.PRUNED))
    claims = [ask(study) for _ in range(8)]

    def numbers(seen: StudyReader | RDBStorage) -> list[list[int]]:
        return [[trial.number for trial in seen.get_all_trials(1, states=kind)] for kind in kinds]

    for index, place in enumerate((5, 0, 3, 7, 1)):
        study.finish(claims[place], "PRUNED" if index % 2 else "COMPLETE", float(place), {})
        assert numbers(storage.reader) == numbers(storage.plain)
    change(storage, claims[3], TrialState.WAITING)
    assert numbers(storage.reader) == numbers(storage.plain)


def test_trials_are_as_optuna_reads_them(storage: Storage) -> None:
    """Those of any tool of Optuna's: what is infinite or no number, choices, several objectives."""
    plain = optuna.create_study(storage=storage.plain, directions=["minimize", "maximize"])
    distributions = {
        "x": optuna.distributions.FloatDistribution(1e-3, 1.0, log=True),
        "n": optuna.distributions.IntDistribution(1, 9, step=2),
        "kind": optuna.distributions.CategoricalDistribution(["a", None, 2]),
    }
    for index, state in enumerate((*TrialState, TrialState.COMPLETE)):
        values = [math.inf, -math.inf] if index > 4 else [1.0, 2.0]
        plain.add_trial(
            optuna.trial.create_trial(
                state=state,
                values=values if state == TrialState.COMPLETE else None,
                params={"x": 0.5, "n": 3, "kind": ["a", None, 2][index % 3]},
                distributions=distributions,
                intermediate_values={0: 1.0, 1: math.inf, 2: -math.inf, 9: math.nan},
                user_attrs={"u": {"list": [1, "two"]}},
                system_attrs={"s": index},
            )
        )
    ids = storage.plain.get_study_id_from_name(plain.study_name)
    expected = storage.plain.get_all_trials(ids)
    with storage.read() as connection:
        assert list(map(repr, read_study_trials(connection, ids, None))) == list(
            map(repr, expected)
        )
        complete = read_study_trials(connection, ids, (TrialState.COMPLETE,))
    assert list(map(repr, complete)) == list(
        map(repr, storage.plain.get_all_trials(ids, states=(TrialState.COMPLETE,)))
    )
    for trial in expected:
        trial._user_attrs = {}
        trial.intermediate_values = trial.intermediate_values if trial.state.is_finished() else {}
    assert list(map(repr, storage.reader.get_all_trials(ids))) == list(map(repr, expected))


def test_many_trials_are_read_in_few_statements(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo.storage.trials._CHUNK", 4)
    study = create_study(storage, definition(n_trials=30), "store")
    for _ in range(10):
        claim = ask(study)
        study.report({claim: [Measurement(step=1, value=float(claim.number))]})
        study.finish(claim, "COMPLETE", float(claim.number), {})
    storage.reader.forget(1)
    with statements(storage) as sent:
        trials = storage.reader.get_all_trials(1)
    assert [trial.intermediate_values for trial in trials] == [{1: float(n)} for n in range(10)]
    assert len(sent) == 3 + 3 * 4


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
    with storage.reader.hold_writes(claim.trial_id) as held:
        storage.reader.set_trial_system_attr(claim.trial_id, "rung", 1)
    assert held.system_attrs == {"rung": 1}
    assert study.trials()[0].system_attrs.get("rung") is None
    storage.plain.set_trial_system_attr(claim.trial_id, "note", 2)  # as the dashboard does
    assert study.trials()[0].system_attrs["note"] == 2
