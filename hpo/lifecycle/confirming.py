"""What `hpo confirm` trains and concludes; any worker of the study trains in between."""

from hpo.config.errors import HpoError, InputError
from hpo.files.store import ArtifactStore
from hpo.lifecycle.housekeeping import sign
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


def prepare(study: Study, store: ArtifactStore, *, top: int, seeds: int) -> Study:
    """Queue the trainings that are missing, in the study `NAME@confirm`.

    Args:
        study: whose leaders are confirmed.
        store: its artifact store.
        top: leading configurations, besides the default.
        seeds: with which each is trained.

    Returns:
        The study that workers are to finish.

    Raises:
        InputError: a number that is not allowed, or the artifact store is another one.
        HpoError: there is nothing to confirm yet.
    """
    if not 1 <= top <= MAX_TOP:
        raise InputError(f"--top must be from 1 to {MAX_TOP}, but got {top}")
    if not 2 <= seeds <= MAX_SEEDS:
        raise InputError(f"--seeds must be from 2 to {MAX_SEEDS}, but got {seeds}")
    study.check_store(store.id)
    found = list(_searched(study))
    again = open_confirming(study)
    sign(store, again)
    queue_missing(again, study.name, trainings(again.definition, found[: 1 + top], seeds))
    return again


def conclude(study: Study, again: Study) -> Confirmation:
    """Compare what was trained, and keep the outcome with the study if there is a winner."""
    trained = read_trainings(again)
    found = {
        number: trained[own].values for own, number in _searched(study).items() if own in trained
    }
    default = configuration(study.definition.space.default_params())
    outcome = compare(again.definition, sorted(trained[default].seeds), found)
    if outcome.winner is not None:
        keep_confirmation(study, outcome)
    return outcome


def _searched(study: Study) -> dict[Configuration, int]:
    """The numbers of configurations: the default's, then those of COMPLETE trials, best first.

    The order is that of the search alone, whatever was confirmed before. Of several trials with one
    configuration it is the best one's number.

    Raises:
        HpoError: there is no COMPLETE trial, or none but the default's.
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
            f"study {study.name} has no COMPLETE trial but those of the default configuration: "
            "there is nothing to compare it with yet"
        )
    return found
