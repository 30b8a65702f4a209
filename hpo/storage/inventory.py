"""The artifacts that a study's trials name, in two queries that take no lock."""

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.storage.attributes import ARTIFACT, SHA256
from hpo.storage.schema import TRIAL_USER_ATTRS, TRIALS


@dataclass(frozen=True, kw_only=True)
class TrialFiles:
    """The state of a trial and the artifact that it names.

    Attributes:
        is_final: whether the trial is COMPLETE, PRUNED or FAIL.
        artifact: path of the weights in the artifact store; None if there are none.
        sha256: digest of the weights.
    """

    state: str
    is_final: bool
    artifact: str | None = None
    sha256: str | None = None


def read_inventory(connection: Connection, study_id: int) -> dict[int, TrialFiles]:
    """A study's trials by number.

    States are read first, so that a final trial is seen with all of its attributes.
    """
    own = TRIALS.c.study_id == study_id
    states = sa.select(TRIALS.c.number, TRIALS.c.state).where(own)
    trials: list[tuple[int, TrialState]] = [(n, state) for n, state in connection.execute(states)]
    named: dict[int, dict[str, Any]] = {}
    attrs = (
        sa.select(TRIALS.c.number, TRIAL_USER_ATTRS.c.key, TRIAL_USER_ATTRS.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_USER_ATTRS.c.trial_id)
        .where(own, TRIAL_USER_ATTRS.c.key.in_([ARTIFACT, SHA256]))
    )
    for number, key, text in connection.execute(attrs):
        named.setdefault(number, {})[key] = json.loads(text)
    return {
        number: TrialFiles(state=state.name, is_final=state.is_finished(), **named.get(number, {}))
        for number, state in trials
    }
