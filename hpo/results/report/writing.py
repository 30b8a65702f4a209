"""Writing a report to a file, whole or not at all."""

from pathlib import Path

from hpo.config.errors import InputError
from hpo.files.durable import replacing
from hpo.files.store import ArtifactStore
from hpo.results.report.content import gather
from hpo.results.report.page import render
from hpo.study.study import Study


def write_report(study: Study, store: ArtifactStore, out: Path, *, top: int = 10) -> Path:
    """Write a study's report.

    Args:
        study: in any state.
        store: the artifact store with its table and its weights.
        out: the file to write; an existing one is replaced.
        top: rows of the leaderboard.

    Returns:
        The file.

    Raises:
        InputError: the file cannot be written, or `store` is not the study's.
        ArtifactError: the study's table cannot be read.
    """
    try:
        if out.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        with replacing(out, out.parent) as file:  # opened before the work, not after it
            file.write(render(gather(study, store, top)).encode())
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None
    return out
