"""Confirming without training: a worker that measures what the test tells it to."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hpo.config.errors import HpoError, InputError
from hpo.config.metrics import Direction
from hpo.config.space import Params
from hpo.files.store import ArtifactStore, study_path, table_path
from hpo.lifecycle.confirming import conclude, prepare
from hpo.lifecycle.housekeeping import OWNER, collect, delete_with_confirmation
from hpo.results.leaderboard_table import to_table
from hpo.storage.engine import Storage, open_storage
from hpo.storage.leases import WorkerId
from hpo.storage.ledger import FinalState
from hpo.study.artifacts import StudyArtifacts
from hpo.study.budget import BudgetChange
from hpo.study.catalog import create_study, open_study
from hpo.study.confirmation import SEED, Estimate
from hpo.study.leaderboard import leaderboard, ranked
from hpo.study.steering import extend
from hpo.study.study import Study
from tests.support.definitions import definition
from tests.support.every_state import grow_old

ME = WorkerId(host="here", pid=1, device="cpu")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with closing(open_storage(f"sqlite:///{tmp_path}/hpo.db")) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


@pytest.fixture
def study(storage: Storage, store: ArtifactStore) -> Study:
    """Searched: by depth 2 (the default), 3, 1, 4, 3 again."""
    store.put(table_path("f"), b"table")
    made = create_study(storage, definition(n_trials=5), store.id)
    for depth in (3, 1, 4, 3):
        made.enqueue({**made.definition.space.default_params(), "model.depth": depth})
    search = {2: 5.0, 3: 1.0, 1: 2.0, 4: 3.0}
    work(made, lambda params: search[int(params["model.depth"])])
    return made


def work(study: Study, value: Callable[[Params], float | FinalState]) -> int:
    """Finish all that there is to do; how many trials that were."""
    n_done = 0
    while claim := study.ask(ME, 60.0):
        found = value(claim.params)
        if isinstance(found, str):
            study.finish(claim, found, None, {"reason": "so told"})
        else:
            study.finish(claim, "COMPLETE", found, {})
        n_done += 1
    return n_done


def queue(study: Study, store: ArtifactStore, *, top: int, seeds: int) -> Study:
    """The confirming study, its trainings queued."""
    return prepare(StudyArtifacts(study=study, store=store), top=top, seeds=seeds).study


def over_seeds(params: Params) -> float:
    """The search was lucky with depth 3; depth 1 is the best."""
    mean = {2: 4.0, 3: 6.0, 1: 2.0, 4: 5.0}[int(params["model.depth"])]
    return mean + 0.5 * int(params[SEED])


def trainings(again: Study) -> list[tuple[object, object]]:
    return [(trial.params["model.depth"], trial.params[SEED]) for trial in again.trials()]


def test_the_leaders_and_the_default_are_trained_with_every_seed(
    study: Study, store: ArtifactStore
) -> None:
    again = queue(study, store, top=2, seeds=2)
    assert again.progress().budget.n_trials == 6
    assert work(again, over_seeds) == 6
    assert trainings(again) == [(2, 1), (3, 1), (1, 1), (2, 2), (3, 2), (1, 2)]
    found = conclude(study, again)
    assert [each.number for each in found.configs] == [2, 0, 1]
    assert found.configs[0].values == {1: 2.5, 2: 3.0}
    assert found.configs[0].estimate == Estimate.of([2.5, 3.0])
    assert found.configs[0].difference == Estimate.of([-2.0, -2.0])
    assert found.is_better_than_default


def test_the_leaderboard_prefers_what_was_confirmed(study: Study, store: ArtifactStore) -> None:
    assert [row.number for row in leaderboard(study)] == [1, 4, 2, 3, 0]
    assert "confirmed" not in to_table(leaderboard(study)).columns
    again = queue(study, store, top=2, seeds=2)
    work(again, over_seeds)
    conclude(study, again)
    rows = leaderboard(open_study(study.storage, study.name))
    assert [row.number for row in rows] == [2, 0, 1, 4, 3]
    assert [row.value for row in rows] == [2.0, 5.0, 1.0, 1.0, 3.0]
    assert [row.confirmed and row.confirmed.mean for row in rows] == [2.75, 4.75, 6.75, None, None]
    assert to_table(rows)["confirmed"].to_list() == [2.75, 4.75, 6.75, None, None]


@pytest.mark.parametrize(("default", "order"), [(0.5, [0, 1, 2]), (2.2, [1, 2, 0]), (9, [1, 2, 0])])
def test_the_default_is_a_yardstick_and_no_leader(
    study: Study, default: float, order: list[int]
) -> None:
    """Behind all confirmed leaders, it goes on to its place among the others."""
    means = {0: default, 1: 1.5, 2: 2.0}
    confirmed = {number: Estimate.of([mean, mean]) for number, mean in means.items()}
    rows = [row.number for row in ranked(study.trials(), Direction.MINIMIZE, confirmed)]
    assert [number for number in rows if number in means] == order
    assert rows.index(0) == {0.5: 0, 2.2: 3, 9: 4}[default]


def test_again_is_nothing_to_do_and_more_is_added(study: Study, store: ArtifactStore) -> None:
    work(queue(study, store, top=1, seeds=2), over_seeds)
    again = queue(study, store, top=1, seeds=2)
    assert again.progress().is_finished
    wider = queue(study, store, top=2, seeds=3)
    assert wider.uuid == again.uuid
    assert work(wider, over_seeds) == 5
    assert sorted(trainings(wider)) == [(depth, seed) for depth in (1, 2, 3) for seed in (1, 2, 3)]
    assert queue(study, store, top=1, seeds=2).progress().budget.n_trials == 9
    assert len(conclude(study, wider).configs) == 3


@pytest.mark.slow
def test_what_failed_is_tried_again_and_what_diverged_is_not(
    study: Study, store: ArtifactStore
) -> None:
    again = queue(study, store, top=2, seeds=2)
    ends: dict[tuple[object, object], FinalState] = {(1, 2): "FAIL", (3, 1): "PRUNED"}

    def unlucky(params: Params) -> float | FinalState:
        return ends.get((params["model.depth"], params[SEED])) or over_seeds(params)

    work(again, unlucky)
    found = conclude(study, again)
    assert [each.is_whole for each in found.configs] == [True, False, False]
    assert found.winner is not None
    assert found.winner.number == 0
    again = queue(study, store, top=2, seeds=2)
    assert work(again, over_seeds) == 1
    found = conclude(study, again)
    assert [(each.number, each.is_whole) for each in found.configs] == [
        (2, True),
        (0, True),
        (1, False),
    ]


def test_an_outcome_without_a_winner_replaces_none(study: Study, store: ArtifactStore) -> None:
    again = queue(study, store, top=1, seeds=2)
    work(again, over_seeds)
    conclude(study, again)
    before = leaderboard(study)
    assert before[0].confirmed is not None
    work(
        queue(study, store, top=1, seeds=3),
        lambda params: "PRUNED",
    )
    assert conclude(study, again).winner is None
    assert leaderboard(study) == before


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"top": 0}, "--top must be from 1 to 100, but got 0"),
        ({"top": 101}, "--top must be from 1 to 100, but got 101"),
        ({"seeds": 1}, "--seeds must be from 2 to 100, but got 1"),
        ({"seeds": 101}, "--seeds must be from 2 to 100, but got 101"),
    ],
)
def test_a_wrong_number_is_said_before_anything_is_made(
    study: Study, store: ArtifactStore, changes: dict[str, int], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        queue(study, store, **{"top": 1, "seeds": 2, **changes})
    with pytest.raises(InputError, match="no study study@confirm"):
        open_study(study.storage, "study@confirm")


def test_there_must_be_something_to_confirm(storage: Storage, store: ArtifactStore) -> None:
    fresh = create_study(storage, definition(name="fresh"), store.id)
    with pytest.raises(HpoError, match="study fresh has no COMPLETE trial yet"):
        queue(fresh, store, top=1, seeds=2)
    claim = fresh.ask(ME, 60.0)
    assert claim is not None
    fresh.finish(claim, "COMPLETE", 1.0, {})
    with pytest.raises(HpoError, match="COMPLETE trials of the default configuration only"):
        queue(fresh, store, top=1, seeds=2)


def test_it_goes_with_its_study_and_leaves_the_table_to_it(
    study: Study, store: ArtifactStore
) -> None:
    again = queue(study, store, top=1, seeds=2)
    other = create_study(study.storage, definition(name="x@confirm"), store.id)
    create_study(study.storage, definition(name="x"), store.id)
    grow_old(store)
    assert not collect(study.storage, store).files
    assert store.exists(study_path(again.uuid, OWNER))
    extend(study, {"n_trials": BudgetChange(amount=6, is_added=False)})
    for busy in (study, again):
        claim = busy.ask(ME, 60.0)
        assert claim is not None
        with pytest.raises(InputError, match=f"study {busy.name} is being worked on"):
            list(delete_with_confirmation(study.storage, store, "study"))
        assert again.progress().counts == {"WAITING": 4} or busy is again
        busy.release(claim)
    assert again.ask(ME, 60.0) is not None
    gone = list(delete_with_confirmation(study.storage, store, "study", force=True))
    assert [name for name, _, _ in gone] == ["study@confirm", "study"]
    assert [found[0] for found in delete_with_confirmation(study.storage, store, "x")] == ["x"]
    assert open_study(study.storage, other.name).uuid == other.uuid
    assert store.exists(table_path("f"))
