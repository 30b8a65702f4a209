"""Warm starts: choose what a new study takes from other studies.

If a study has the same data and objective, its finished trials that fit the new search space are
known results. A trial fits if the space contains its complete configuration, apart from the seed:
the space may thus have been changed. Otherwise values cannot be compared, and the study's best
configurations become starts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from optuna.trial import TrialState

from hpo.config.definition import StudyDefinition
from hpo.config.differences import differing_keys
from hpo.config.errors import InputError
from hpo.config.parsing import format_list
from hpo.config.ranges import Value
from hpo.config.space import Params, SearchSpace
from hpo.config.strategies import LearningSampler
from hpo.config.trial import Measurement
from hpo.storage.engine import Storage
from hpo.study.catalog import open_study
from hpo.study.confirmation import SEED
from hpo.study.history import KnownResult, WarmStart
from hpo.study.leaderboard import distinct, leaderboard
from hpo.study.study import Study
from hpo.study.tpe import FINISHED

N_STARTS = 5
"""How many configurations of a study with other data or another objective become starts."""
_N_LISTED = 3
"""How many leaves or keys a sentence names."""

_Misfit = tuple[str, str, str]
"""Why trials do not fit: the verb for one of them, for several, and the leaf."""


def choose_warm_start(storage: Storage, definition: StudyDefinition, where: str) -> WarmStart:
    """Choose what a new study takes from those that its sampler's `warm_start` names.

    Args:
        storage: storage of all of them.
        definition: complete definition of the new study.
        where: name of the definition, which opens each message.

    Raises:
        InputError: a study is not there or cannot be opened, or none of its trials fits.
    """
    sampler = definition.sampler
    names = sampler.warm_start if isinstance(sampler, LearningSampler) else None
    known: list[KnownResult] = []
    starts: list[Params] = []
    notes = []
    for name in dict.fromkeys(names or ()):
        try:
            study = open_study(storage, name)
            if differing := differing_keys(study.definition, definition):
                chosen = _best(study, definition.space)
                starts += chosen
                notes.append(_about_starts(name, len(chosen), differing))
            else:
                results, misfits = _results(study, definition.space)
                known += results
                notes.append(_about_results(name, len(results), misfits))
        except InputError as error:
            raise InputError(f"{where}: sampler.warm_start: {error}") from None
    return WarmStart(known=tuple(known), starts=tuple(starts), notes=tuple(notes))


def _results(study: Study, space: SearchSpace) -> tuple[list[KnownResult], Counter[_Misfit]]:
    """The finished trials of a study that fit a space, and why the others do not.

    Raises:
        InputError: none fits.
    """
    found: list[KnownResult] = []
    misfits: Counter[_Misfit] = Counter()
    for trial in study.trials(FINISHED):
        leaves = study.definition.space.leaf_values(trial.params)
        params = space.completed(leaves)
        if misfit := _outside(params, space) or _other_constant(params, leaves, space):
            misfits[misfit] += 1
        elif trial.state == TrialState.COMPLETE:
            found.append(KnownResult(params=params, state="COMPLETE", value=trial.value))
        else:
            epochs = trial.intermediate_values
            last = Measurement(step=max(epochs), value=epochs[max(epochs)]) if epochs else None
            found.append(KnownResult(params=params, state="PRUNED", last=last))
    _check_any(study, len(found), misfits, "finished")
    return found, misfits


def _best(study: Study, space: SearchSpace) -> list[Params]:
    """The params in a space of a study's best configurations; their other leaves are ignored.

    Raises:
        InputError: none fits.
    """
    found: list[Params] = []
    misfits: Counter[_Misfit] = Counter()
    for row in distinct(leaderboard(study), study.definition.space):
        params = space.completed(study.definition.space.leaf_values(row.params))
        if misfit := _outside(params, space):
            misfits[misfit] += 1
        elif params not in found:
            found.append(params)
    _check_any(study, len(found), misfits, "COMPLETE")
    return found[:N_STARTS]


def _outside(params: Params, space: SearchSpace) -> _Misfit | None:
    """The first param whose value is outside its range."""
    leaves = space.params()
    outside = (name for name, value in params.items() if not leaves[name].admits(value))
    return next((("lies outside", "lie outside", name) for name in outside), None)


def _other_constant(
    params: Params, leaves: Mapping[str, Value], space: SearchSpace
) -> _Misfit | None:
    """The first leaf in which params of a space mean another configuration than these leaves."""
    meant = space.leaf_values(params).items()
    others = (path for path, value in meant if path != SEED and leaves.get(path) != value)
    return next((("has another", "have another", path) for path in others), None)


def _check_any(study: Study, n_found: int, misfits: Counter[_Misfit], state: str) -> None:
    if not n_found and not misfits:
        raise InputError(f"study {study.name} has no {state} trial")
    if not n_found:
        n = misfits.total()
        raise InputError(f"no {state} trial of {study.name} fits: of {n}, {_listed(misfits)}")


def _about_results(name: str, n_found: int, misfits: Counter[_Misfit]) -> str:
    said = f"{name}: {n_found} of {n_found + misfits.total()} trials are known results"
    return f"{said}; {_listed(misfits)}" if misfits else said


def _about_starts(name: str, n_found: int, differing: Sequence[str]) -> str:
    best = "its best configuration is a start"
    if n_found > 1:
        best = f"its {n_found} best configurations are starts"
    keys = ["the table" if key == "data.fingerprint" else key for key in differing]
    return f"{name}: {best}, because of another value of {format_list(keys, _N_LISTED)}"


def _listed(misfits: Counter[_Misfit]) -> str:
    """`2 lie outside model.width, 1 has another training.max_epochs`."""
    said = [
        f"{n} {one if n == 1 else many} {path}" for (one, many, path), n in misfits.most_common()
    ]
    return format_list(said, _N_LISTED)
