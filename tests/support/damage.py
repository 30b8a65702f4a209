"""A study with a trial in every state, and what commands and workers do with it."""

from collections.abc import Callable, Iterator

from hpo.config.errors import HpoError
from hpo.config.trial import Measurement
from hpo.storage.best import OptimizationHistory
from hpo.storage.engine import Storage
from hpo.storage.leases import WorkerId
from hpo.study.catalog import create_study, open_study
from hpo.study.history import WarmStart
from hpo.study.leaderboard import best_epoch, leaderboard, recorded_config
from hpo.study.orders import read_orders
from hpo.study.steering import prioritize, set_standing
from hpo.study.study import Claim, Study
from tests.support.definitions import definition

ME = WorkerId(host="here", pid=1, device="cpu")
OTHER = WorkerId(host="here", pid=2, device="cpu")


def make_study(storage: Storage, name: str) -> tuple[Study, Claim]:
    """A study with a trial in every state, and the claim of the running one."""
    budget = {"n_trials": 20, "no_improvement": 15, "timeout": 3600}
    warm = WarmStart(starts=({"model.depth": 3},), notes=("one start of another study",))
    study = create_study(storage, definition(name=name, budget=budget), "store", ["note"], warm)
    set_standing(study, "paused")
    set_standing(study, "open")
    prioritize(study, 1)
    claims = study.draw(study.claim(ME, 3600.0, 4))
    curve = [Measurement(step=1, value=2.0), Measurement(step=2, value=1.0)]
    study.report(dict.fromkeys(claims, curve))
    attrs = {
        "metrics": {"rmse": 1.0},
        "best_epoch": 2,
        "artifact": "studies/x/model.safetensors",
        "sha256": "0" * 64,
        "precision": "float32",
        "seconds": 1.5,
        "n_epochs": 2,
    }
    study.finish(claims[0], "COMPLETE", 1.0, attrs)
    study.finish(claims[1], "PRUNED", 2.0, {"reason": "median pruner"})
    study.release(claims[2])
    study.enqueue({"model.depth": 2})
    storage.plain.set_study_user_attr(study.id, "a note", {"a": 1})
    return study, claims[3]


def tolerated(work: Callable[[], object], name: str) -> str | None:
    """Do some work on a damaged study: it succeeds, or says what is damaged."""
    said = None
    try:
        work()
    except HpoError as error:
        said = str(error)
    assert said is None or (name in said and "\n" not in said), said
    return said


def work_on(storage: Storage, name: str, claim: Claim, other: WorkerId) -> Iterator[str | None]:
    """Do what commands and workers do with a study."""
    study = open_study(storage, name)
    storage.reader.forget(study.id)

    def ask() -> None:
        claimed = study.ask(other, 3600.0)
        if claimed is not None:
            study.resume(claimed, [Measurement(step=1, value=2.0)])
            study.release(claimed)

    def show() -> None:
        for row in leaderboard(study):
            best_epoch(study, row)
            recorded_config(study, row)

    actions: list[Callable[[], object]] = [
        lambda: study.progress(OptimizationHistory()),
        show,
        study.inventory,
        study.reaper.reap,
        ask,
        lambda: study.report({claim: [Measurement(step=3, value=1.5)]}),
        lambda: study.renew([claim], 3600.0),
        lambda: read_orders(study, [claim]),
    ]
    for action in actions:
        yield tolerated(action, f"study {name}")
