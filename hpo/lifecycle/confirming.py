"""`hpo confirm`: queue the trainings of a confirmation, and compare their results.

The trainings themselves are trials of the study `NAME@confirm`, which any worker can run.
"""

from hpo.config.errors import HpoError, InputError
from hpo.lifecycle.housekeeping import write_owner
from hpo.study.artifacts import StudyArtifacts
from hpo.study.confirmation import (
    DEFAULT,
    MAX_SEEDS,
    MAX_TOP,
    Configuration,
    Confirmation,
    compare,
    configuration,
    trainings,
)
from hpo.study.leaderboard import ranked, why_empty
from hpo.study.retraining import (
    keep_confirmation,
    open_confirming,
    queue_missing,
    read_trainings,
)
from hpo.study.study import Study


def prepare(artifacts: StudyArtifacts, *, top: int, seeds: int) -> StudyArtifacts:
    """Queue the missing trainings in the study `NAME@confirm`.

    Args:
        artifacts: of the study to confirm.
        top: number of leading configurations, besides the default.
        seeds: number of trainings of each configuration.

    Returns:
        The confirming study, for workers to finish.

    Raises:
        InputError: `top` or `seeds` is out of range.
        HpoError: there is nothing to confirm yet.
    """
    if not 1 <= top <= MAX_TOP:
        raise InputError(f"--top must be from 1 to {MAX_TOP}, but got {top}")
    if not 2 <= seeds <= MAX_SEEDS:
        raise InputError(f"--seeds must be from 2 to {MAX_SEEDS}, but got {seeds}")
    study, store = artifacts.study, artifacts.store
    found = list(_searched(study))
    again = open_confirming(study)
    write_owner(store, again)
    queue_missing(again, study.name, trainings(again.definition, found[: 1 + top], seeds))
    return StudyArtifacts(study=again, store=store)


def conclude(study: Study, again: Study) -> Confirmation:
    """Compare the trainings in `again`; store the outcome with `study` if there is a winner."""
    trained = read_trainings(again)
    found = {
        number: {seed: value for seed, value in trained[own].items() if value is not None}
        for own, number in _searched(study).items()
        if own in trained
    }
    default = configuration(study.definition.space.default_params())
    outcome = compare(again.definition, sorted(trained[default]), found)
    if outcome.winner is not None:
        keep_confirmation(study, outcome)
    return outcome


def _searched(study: Study) -> dict[Configuration, int]:
    """Trial numbers by configuration: the default first, then the COMPLETE trials, best first.

    Earlier confirmations do not affect the order. If several trials share a configuration, the
    number is that of the best one.

    Raises:
        HpoError: no trial is COMPLETE, or only trials of the default configuration are.
    """
    rows = [
        row for row in ranked(study.trials(), study.definition.direction) if row.state == "COMPLETE"
    ]
    if not rows:
        raise HpoError(why_empty(study))
    found = {configuration(study.definition.space.default_params()): DEFAULT}
    for row in rows:
        found.setdefault(configuration(row.params), row.number)
    if len(found) == 1:
        raise HpoError(
            f"study {study.name} has COMPLETE trials of the default configuration only: "
            "there is nothing to compare it with yet"
        )
    return found
