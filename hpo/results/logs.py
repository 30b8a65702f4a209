"""What workers logged of a trial, attempt by attempt."""

import re
from collections.abc import Mapping

from hpo.config.errors import HpoError, InputError
from hpo.files.store import LOG, ArtifactStore, study_path
from hpo.study.leaderboard import find_row
from hpo.study.study import Study

OF_AN_ATTEMPT = re.compile(rf".*/attempt-(?P<attempt>\d+)/{re.escape(LOG)}")


def read_logs(
    study: Study, store: ArtifactStore, number: int, attempt: int | None = None
) -> Mapping[int, str]:
    """The logs that are kept of a trial, by attempt and in their order.

    Args:
        study: the trial's.
        store: the study's artifact store.
        number: the trial's.
        attempt: of this one alone.

    Raises:
        InputError: there is no such trial, no such log, or the artifact store is another one.
        HpoError: no log of the trial is kept.
        ArtifactError: the store is out of reach.
    """
    study.check_store(store.id)
    row = find_row(study, number)
    folder = study_path(study.uuid, f"trial-{number:05d}")
    found = (OF_AN_ATTEMPT.fullmatch(path) for path in store.list(folder))
    paths = {int(match["attempt"]): match[0] for match in found if match}
    if not paths:
        raise HpoError(
            f"no log is kept of trial {number} of study {study.name}, which is {row.state}: "
            "workers write one when a trial fails or is kept for later"
        )
    if attempt is not None and attempt not in paths:
        kept = ", ".join(map(str, sorted(paths)))
        raise InputError(f"trial {number} has logs of attempts {kept}, but got --attempt {attempt}")
    wanted = sorted(paths) if attempt is None else [attempt]
    return {each: store.get(paths[each], digest=None).decode(errors="replace") for each in wanted}
