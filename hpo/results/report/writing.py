"""Writing a report: whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpo.config.errors import InputError
from hpo.results.report.content import gather
from hpo.results.report.page import render
from hpo.study.artifacts import StudyArtifacts

TOP = 10


def write_report(artifacts: StudyArtifacts, out: Path, *, top: int = TOP) -> Path:
    """Write a study's report.

    Args:
        artifacts: of a study in any state.
        out: the file to write; an earlier one is replaced.
        top: rows of the leaderboard.

    Returns:
        The file.

    Raises:
        InputError: the file cannot be written.
        ArtifactError: the study's table cannot be read.
    """
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        with _said(out):  # before the work, not after it
            if out.is_dir():
                raise IsADirectoryError(None, "Is a directory")
            draft.touch(exist_ok=False)
        text = render(gather(artifacts, top))
        with _said(out):
            draft.write_text(text, encoding="utf-8")
            os.replace(draft, out)
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return out


@contextmanager
def _said(out: Path) -> Iterator[None]:
    """Why a file cannot be written, as a sentence."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from None
