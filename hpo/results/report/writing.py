"""Writing a report to a file, whole or not at all."""

from pathlib import Path

from hpo.files.durable import replacing, writing
from hpo.results.report.content import gather
from hpo.results.report.page import render
from hpo.study.artifacts import StudyArtifacts


def write_report(artifacts: StudyArtifacts, out: Path, *, top: int = 10) -> Path:
    """Write a study's report.

    Args:
        artifacts: of a study in any state.
        out: the file to write; an existing one is replaced.
        top: rows of the leaderboard.

    Returns:
        The file.

    Raises:
        InputError: the file cannot be written.
        ArtifactError: the study's table cannot be read.
    """
    with writing(str(out)):
        if out.is_dir():
            raise IsADirectoryError(None, "Is a directory")
        with replacing(out, out.parent) as file:  # opened before the work, not after it
            file.write(render(gather(artifacts, top)).encode())
    return out
