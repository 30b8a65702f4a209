"""The audit sees what it is there to see: each kind of damage, done by hand to a finished study."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.models.model import Model
from hpo.storage.leases import WorkerId
from hpo.storage.schema import LEASES, REPORTS, TRIAL_USER_ATTRS, TRIAL_VALUES, TRIALS
from hpo.training.single import SingleTrainer
from hpo.worker.loop import Worker
from hpo.worker.quota import Quota
from hpo.worker.timing import Timing
from tests.support.faults.audit import audit, orphans
from tests.support.faults.setting import Setting, make_setting


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("finished")
    setting = make_setting(folder, f"sqlite:///{folder}/hpo.db", n_trials=3, max_epochs=4)
    worker = Worker(
        storage=setting.study.storage,
        studies=lambda: [setting.study],
        store=setting.store,
        trainer=SingleTrainer("cpu"),
        identity=WorkerId(host="here", pid=os.getpid(), device="cpu"),
        quota=Quota(),
        timing=Timing(),
    )
    assert worker.work(threading.Event())
    return setting


@pytest.fixture
def damaged(finished: Setting, tmp_path: Path) -> Setting:
    """A copy to be damaged."""
    source = Path(finished.store.url).parent
    finished.close()
    for path in source.rglob("*"):
        target = tmp_path / path.relative_to(source)
        if path.is_dir():
            target.mkdir()
        else:
            target.write_bytes(path.read_bytes())
    return make_setting(tmp_path, f"sqlite:///{tmp_path}/hpo.db", n_trials=3, max_epochs=4)


def execute(setting: Setting, statement: sa.Executable) -> None:
    setting.study.storage.write(lambda connection: connection.execute(statement))


def weights_of(setting: Setting, number: int) -> Path:
    return Path(setting.store.url, setting.study.trials()[number].user_attrs["artifact"])


def test_a_study_as_workers_leave_it_is_without_fault(finished: Setting) -> None:
    found = audit(finished)
    assert found.faults == []
    assert found.counts == {"COMPLETE": 3}
    assert found.n_attempts == 3
    assert orphans(finished) == []


def drop_a_report(setting: Setting) -> None:
    execute(setting, sa.delete(REPORTS).where(REPORTS.c.trial_id == 2, REPORTS.c.step == 2))


def drop_the_last_report(setting: Setting) -> None:
    execute(setting, sa.delete(REPORTS).where(REPORTS.c.trial_id == 2, REPORTS.c.step == 4))


def change_a_value(setting: Setting) -> None:
    execute(setting, sa.update(TRIAL_VALUES).where(TRIAL_VALUES.c.trial_id == 2).values(value=9.0))


def leave_a_trial_running(setting: Setting) -> None:
    running = sa.update(TRIALS).where(TRIALS.c.trial_id == 2).values(state="RUNNING")
    execute(setting, running)


def number_a_trial_twice(setting: Setting) -> None:
    execute(setting, sa.update(TRIALS).where(TRIALS.c.trial_id == 3).values(number=1))


def leave_a_lease(setting: Setting) -> None:
    lease = {"trial_id": 2, "study_id": 1, "worker_id": "w", "token": "t", "beat": 0}
    execute(setting, sa.insert(LEASES).values(**lease, lease_ms=1, expires_ms=1))


def fail_without_a_reason(setting: Setting) -> None:
    execute(setting, sa.update(TRIALS).where(TRIALS.c.trial_id == 2).values(state="FAIL"))


def lose_weights(setting: Setting) -> None:
    weights_of(setting, 1).unlink()


def damage_weights(setting: Setting) -> None:
    path = weights_of(setting, 1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def mix_up_weights(setting: Setting) -> None:
    """Let one trial name the weights of another, digest and all."""
    for key in ("artifact", "sha256"):
        own = TRIAL_USER_ATTRS.c.key == key
        other = sa.select(TRIAL_USER_ATTRS.c.value_json).where(
            own, TRIAL_USER_ATTRS.c.trial_id == 3
        )
        change = sa.update(TRIAL_USER_ATTRS).where(own, TRIAL_USER_ATTRS.c.trial_id == 2)
        execute(setting, change.values(value_json=other.scalar_subquery()))


def change_weights(setting: Setting) -> None:
    """Other weights, whole and with their own digest."""
    attrs = setting.study.trials()[1].user_attrs
    content = setting.store.get(attrs["artifact"], attrs["sha256"])
    model = Model.from_bytes(content, "model")
    for value in model.network.state_dict().values():
        value.mul_(1.01)
    digest = setting.store.put(attrs["artifact"], model.to_bytes())
    own = (TRIAL_USER_ATTRS.c.trial_id == 2) & (TRIAL_USER_ATTRS.c.key == "sha256")
    execute(setting, sa.update(TRIAL_USER_ATTRS).where(own).values(value_json=f'"{digest}"'))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        (drop_a_report, "has reported the steps [1, 3, 4]"),
        (drop_the_last_report, "has 3 reports of 4 epochs"),
        (change_a_value, "has the value 9.0, which is not its best report"),
        (leave_a_trial_running, "trial 1: is RUNNING"),
        (number_a_trial_twice, "a budget of 3 trials has the trials [0, 1, 1]"),
        (leave_a_lease, "1 leases are left"),
        (fail_without_a_reason, "is FAIL without a reason"),
        (lose_weights, "its weights do not load"),
        (damage_weights, "is damaged"),
        (mix_up_weights, "they are of another configuration"),
        (change_weights, "trial 1: its weights give"),
    ],
)
def test_damage_is_seen(damaged: Setting, damage: Callable[[Setting], None], seen: str) -> None:
    damage(damaged)
    faults = audit(damaged).faults
    assert any(seen in fault for fault in faults), faults


def test_a_file_that_nothing_names_is_seen(damaged: Setting) -> None:
    stray = weights_of(damaged, 1).parent.with_name("attempt-7") / "model.safetensors"
    stray.parent.mkdir()
    stray.touch()
    assert [Path(path).parent.name for path in orphans(damaged)] == ["attempt-7"]
