"""The logs of a trial, one for each attempt."""

import re
from collections.abc import Mapping

from hpo.config.errors import HpoError, InputError
from hpo.files.store import LOG, study_path
from hpo.study.artifacts import StudyArtifacts
from hpo.study.leaderboard import find_row

_ATTEMPT_LOG = re.compile(rf".*/attempt-(?P<attempt>\d+)/{re.escape(LOG)}")


def read_logs(
    artifacts: StudyArtifacts, number: int, attempt: int | None = None
) -> Mapping[int, str]:
    """Read the stored logs of a trial.

    Args:
        artifacts: of the study.
        number: the trial's number.
        attempt: read the log of this attempt only.

    Returns:
        The logs by attempt, in ascending order.

    Raises:
        InputError: the trial or the attempt's log does not exist.
        HpoError: the trial has no stored log.
        ArtifactError: the store is out of reach.
    """
    study, store = artifacts.study, artifacts.store
    row = find_row(study, number)
    folder = study_path(study.uuid, f"trial-{number:05d}")
    found = (_ATTEMPT_LOG.fullmatch(path) for path in store.list(folder))
    paths = {int(match["attempt"]): match[0] for match in found if match}
    if not paths:
        raise HpoError(
            f"no log is stored for trial {number} of study {study.name}, which is {row.state}: "
            "workers store one when a trial fails or is given back"
        )
    if attempt is not None and attempt not in paths:
        stored = ", ".join(map(str, sorted(paths)))
        raise InputError(
            f"trial {number} has logs of attempts {stored}, but got --attempt {attempt}"
        )
    wanted = sorted(paths) if attempt is None else [attempt]
    return {each: store.get(paths[each], digest=None).decode(errors="replace") for each in wanted}
