"""Audit of a finished study: every row and every file must be as if no fault had occurred."""

import math
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import sqlalchemy as sa
from optuna.trial import FrozenTrial

from hpo.config.errors import HpoError
from hpo.files.store import ID_FILE, LOG, ArtifactStore, study_path, table_path
from hpo.lifecycle.housekeeping import OWNER
from hpo.models.experiment import Experiment, load_experiment
from hpo.models.model import Model
from hpo.storage.schema import LEASES
from hpo.study.study import Study
from hpo.training.metrics import evaluate
from tests.support.faults.setting import Setting

FINAL = ("COMPLETE", "PRUNED", "FAIL")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Results of an audit.

    Attributes:
        faults: a sentence for each; empty if there are none.
        counts: trials by state.
        n_attempts: total claims of the trials.
    """

    faults: list[str]
    counts: Counter[str]
    n_attempts: int


def audit(setting: Setting, *, trained: bool = True) -> Findings:
    """Check the rows and the weights of a finished study.

    Args:
        setting: the study.
        trained: whether the weights were trained, so that they must give the recorded metric.
    """
    trials = setting.study.trials()
    faults = [*_numbering(setting.study, trials), *_leases(setting.study)]
    for trial in trials:
        faults += [f"trial {trial.number}: {what}" for what in _trial(trial)]
    faults += _weights(setting, trials, trained)
    attempts = (int(trial.user_attrs.get("attempt", 1)) for trial in trials)
    return Findings(
        faults=faults,
        counts=Counter(trial.state.name for trial in trials),
        n_attempts=sum(attempts),
    )


def orphans(setting: Setting) -> list[str]:
    """Files of the artifact store that the study does not refer to, except drafts."""
    study = setting.study
    own = {ID_FILE, table_path(study.definition.data.fingerprint), study_path(study.uuid, OWNER)}
    folders = set()
    for trial in study.trials():
        if "artifact" in trial.user_attrs:
            folders.add(posixpath.dirname(trial.user_attrs["artifact"]))
    left = [path for path in files(setting.store) if path not in own and not is_draft(path)]
    return [
        path
        for path in left
        if posixpath.dirname(path) not in folders and not _is_log_of_a_failure(study, path)
    ]


def is_draft(path: str) -> bool:
    """Whether a killed process was writing this file; `hpo gc` removes it after a day."""
    return posixpath.basename(path).startswith(".")


def checkpoints(setting: Setting) -> Counter[int]:
    """Number of checkpoint files by trial number."""
    found: Counter[int] = Counter()
    for path in files(setting.store):
        parts = path.split("/")
        if "checkpoints" in parts and not is_draft(path):
            found[int(parts[2].removeprefix("trial-"))] += 1
    return found


def files(store: ArtifactStore) -> list[str]:
    """All files of a local store, including hidden ones, relative to its root."""
    root = Path(store.url)
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.name != "ballast"
    )


def _is_log_of_a_failure(study: Study, path: str) -> bool:
    failed = {trial.number for trial in study.trials() if trial.state.name == "FAIL"}
    parts = path.split("/")
    return parts[-1] == LOG and int(parts[2].removeprefix("trial-")) in failed


def _numbering(study: Study, trials: list[FrozenTrial]) -> Iterator[str]:
    budget = study.progress().budget.n_trials
    numbers = [trial.number for trial in trials]
    if numbers != list(range(budget)):
        yield f"a budget of {budget} trials has the trials {numbers}"


def _leases(study: Study) -> Iterator[str]:
    with study.storage.read() as connection:
        n_leases = connection.scalar(sa.select(sa.func.count()).select_from(LEASES))
    if n_leases:
        yield f"{n_leases} leases are left"


def _trial(trial: FrozenTrial) -> Iterator[str]:
    """Faults in the rows of one trial."""
    if trial.state.name not in FINAL:
        yield f"is {trial.state.name}"
        return
    steps = sorted(trial.intermediate_values)
    if steps != list(range(1, len(steps) + 1)):
        yield f"has reported the steps {steps}"
    if not all(math.isfinite(value) for value in trial.intermediate_values.values()):
        yield "has reported what is no finite number"
    if trial.state.name != "COMPLETE":
        if not trial.user_attrs.get("reason"):
            yield f"is {trial.state.name} without a reason"
        return
    if len(steps) != trial.user_attrs.get("n_epochs"):
        yield f"has {len(steps)} reports of {trial.user_attrs.get('n_epochs')} epochs"
    if not steps or trial.value != min(trial.intermediate_values.values()):
        yield f"has the value {trial.value}, which is not its best report"


def _weights(setting: Setting, trials: list[FrozenTrial], trained: bool) -> Iterator[str]:
    """Load the weights of COMPLETE and some PRUNED trials, and evaluate trained ones."""
    data = setting.study.definition.data
    experiment = load_experiment(setting.store, data)
    for trial in trials:
        is_complete = trial.state is optuna.trial.TrialState.COMPLETE
        if not is_complete and "artifact" not in trial.user_attrs:
            continue
        try:
            model = _load(setting, trial)
        except (HpoError, KeyError) as error:
            yield f"trial {trial.number}: its weights do not load: {error}"
            continue
        if not trained:
            continue
        measured = _measure(setting, experiment, model)
        value = trial.value
        if not is_complete:  # the trainer may have been ahead of the pruner
            value = trial.user_attrs["metrics"][setting.study.definition.objective.metric]
        if not math.isclose(measured, value or math.nan, rel_tol=1e-5):
            yield f"trial {trial.number}: its weights give {measured}, recorded is {value}"


def _load(setting: Setting, trial: FrozenTrial) -> Model:
    """Load a trial's weights, and check digest and config."""
    attrs = trial.user_attrs
    model = Model.from_bytes(
        setting.store.get(attrs["artifact"], attrs["sha256"]), attrs["artifact"]
    )
    expected = setting.study.definition.trial_config(trial.params)
    if trial.state is optuna.trial.TrialState.PRUNED:
        training = replace(expected.training, max_epochs=model.config.training.max_epochs)
        expected = replace(expected, training=training)
    if model.config != expected:
        raise HpoError("they are of another configuration")
    return model


def _measure(setting: Setting, experiment: Experiment, model: Model) -> float:
    """Evaluate a model on the validation part."""
    part, schema = experiment.dataset.part("val"), experiment.dataset.schema
    logits, objective = model.logits(part.x_num, part.x_cat), setting.study.definition.objective
    metrics = evaluate(objective, schema.task, len(schema.classes), logits, part.y)
    return metrics[objective.metric]
