"""What a study's trials name in the artifact store, in two queries that lock nothing.

A function takes a connection inside a transaction and writes nothing.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from hpo.storage.schema import TRIAL_USER_ATTRS, TRIALS


@dataclass(frozen=True, kw_only=True)
class TrialFiles:
    """What one trial says of its files.

    Attributes:
        is_final: whether it ended: COMPLETE, PRUNED or FAIL.
        artifact: path of its weights; None where there are none.
        sha256: their digest.
    """

    state: str
    is_final: bool
    artifact: str | None = field(default=None)
    sha256: str | None = field(default=None)


def read_inventory(connection: Connection, study_id: int) -> dict[int, TrialFiles]:
    """A study's trials by number.

    States are read first: a trial that was seen to be final has all of its attributes.
    """
    own = TRIALS.c.study_id == study_id
    states = sa.select(TRIALS.c.number, TRIALS.c.state).where(own)
    trials: list[tuple[int, TrialState]] = [(n, state) for n, state in connection.execute(states)]
    named: dict[int, dict[str, Any]] = {}
    attrs = (
        sa.select(TRIALS.c.number, TRIAL_USER_ATTRS.c.key, TRIAL_USER_ATTRS.c.value_json)
        .join(TRIALS, TRIALS.c.trial_id == TRIAL_USER_ATTRS.c.trial_id)
        .where(own, TRIAL_USER_ATTRS.c.key.in_(["artifact", "sha256"]))
    )
    for number, key, text in connection.execute(attrs):
        named.setdefault(number, {})[key] = json.loads(text)
    return {
        number: TrialFiles(state=state.name, is_final=state.is_finished(), **named.get(number, {}))
        for number, state in trials
    }
