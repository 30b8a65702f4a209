"""What a study knows from other studies: results for its sampler, and configurations to start with.

They are chosen once, when the study is created (`hpo.study.warm_start`), and stored with it. Known
results are no trials of the study: only its sampler sees them, as older than the study's trials.
"""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.config.space import Params, SearchSpace
from hpo.config.trial import Measurement
from hpo.storage import attributes
from hpo.storage.engine import Connection
from hpo.study.row import WARM_START, StudyRow
from hpo.study.sampling import distribution

_PART = 30_000
"""Number of characters of an attribute. MySQL limits it to 64 KiB; quotes in it count twice."""


@dataclass(frozen=True, kw_only=True)
class KnownResult:
    """A finished trial of another study.

    Attributes:
        params: its params in the space of this study.
        value: the objective at its best epoch; None if it was pruned.
        last: the last epoch of a pruned trial; None if it finished none.
    """

    params: Params
    state: Literal["COMPLETE", "PRUNED"]
    value: float | None = None
    last: Measurement | None = None


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What a study begins with.

    Attributes:
        known: results that the sampler learns from.
        starts: params of trials to run after those of the search space.
        notes: for each other study, what was taken from it, in a sentence.
    """

    known: tuple[KnownResult, ...] = ()
    starts: tuple[Params, ...] = ()
    notes: tuple[str, ...] = ()

    def to_attrs(self) -> dict[str, Any]:
        """The system attributes of a study that hold it; none if there is nothing."""
        if not self.notes:
            return {}
        text = json.dumps({"known": [asdict(each) for each in self.known], "starts": self.starts})
        parts = [text[first : first + _PART] for first in range(0, len(text), _PART)]
        keyed = dict(zip(_keys(len(parts)), parts, strict=True))
        return {WARM_START: {"notes": self.notes, "n_parts": len(parts)}, **keyed}


COLD_START = WarmStart()
"""Nothing is known from other studies."""


def read_warm_start(connection: Connection, row: StudyRow) -> WarmStart:
    """Read what a study began with."""
    keys = _keys(row.n_warm_start_parts)
    if not keys:
        return COLD_START
    parts = attributes.read_study(connection, row.id, keys)
    tree = json.loads("".join(parts[key] for key in keys))
    return WarmStart(
        known=tuple(map(_known, tree["known"])),
        starts=tuple(tree["starts"]),
        notes=row.warm_start_notes,
    )


def _known(tree: Mapping[str, Any]) -> KnownResult:
    last = tree["last"]
    return KnownResult(**{**tree, "last": None if last is None else Measurement(**last)})


def _keys(n_parts: int) -> list[str]:
    return [f"{WARM_START}:{at}" for at in range(n_parts)]


class InformedStudy(optuna.Study):
    """Optuna's view of a study for samplers: its trials after the known results.

    It lists trials without the cache of Optuna's view, which filters all trials on each call: the
    storage keeps the lists by state.
    """

    def __init__(
        self, study: optuna.Study, space: SearchSpace, known: Sequence[KnownResult]
    ) -> None:
        """Take the place of a study's view; `known` have params of the space."""
        self.__setstate__(study.__getstate__())
        self._known = [_frozen(space, at, each) for at, each in enumerate(known)]

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        known = [trial for trial in self._known if states is None or trial.state in states]
        return known + super()._get_trials(deepcopy, states)


def _frozen(space: SearchSpace, at: int, known: KnownResult) -> FrozenTrial:
    """A known result as a trial; ids below 0 are of no trial in a storage."""
    leaves = space.params()
    return FrozenTrial(
        number=-1,  # Optuna ignores trials with lower numbers when it intersects their params
        trial_id=-1 - at,
        state=TrialState[known.state],
        value=known.value,
        datetime_start=None,
        datetime_complete=None,
        params=known.params,
        distributions={name: distribution(leaves[name]) for name in known.params},
        user_attrs={},
        system_attrs={},
        intermediate_values={} if known.last is None else {known.last.step: known.last.value},
    )
