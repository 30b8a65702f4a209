"""The exceptions of hpo.

    HpoError                    exit 1: failed while working
    ├── InputError              exit 2: invalid user input
    │   ├── DefinitionError     a study, search-space or trial file
    │   ├── DataError           a table, its columns or its split
    │   │   └── AmbiguousCellsError  cells that can be read in two ways; a key decides
    │   ├── StudyConflictError  another study of the same name exists
    │   ├── StudyNotFoundError  the storage has no study of that name
    │   ├── StudyBusyError      workers hold trials of a study to be deleted or copied
    │   └── BudgetError         the study's budget has no room for a trial
    ├── StorageError            the database failed
    │   ├── DamagedStudyError       rows of a study cannot be read; other studies can
    │   └── StorageUnavailableError  the database is unreachable; a retry can help
    ├── ArtifactError           an artifact is missing, damaged or cannot be written
    ├── ExportError             an exported file would predict differently than the model
    ├── MetricError             the code of a metric of an installed package failed
    └── LeaseLostError          the trial belongs to another worker now

The command line catches `HpoError` and prints its message; any other exception is a bug and keeps
its traceback.
"""

import difflib
import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class HpoError(Exception):
    """The base class; `exit_code` is the exit code of the command line."""

    exit_code = 1


class InputError(HpoError):
    """The user's input is invalid; nothing was changed."""

    exit_code = 2


class DefinitionError(InputError):
    """A study, search-space or trial file is invalid.

    The message names the file, the dotted key, the value and the allowed values.
    """


class DataError(InputError):
    """A table is not suited for training; the message says why."""


class AmbiguousCellsError(DataError):
    """Cells can be read in two ways.

    Attributes:
        key: the key of `[data]` that decides.
        options: its two fitting values.
    """

    def __init__(self, message: str, key: str, options: tuple[str, str]) -> None:
        super().__init__(message)
        self.key = key
        self.options = options


class StudyConflictError(InputError):
    """A study of this name has another definition; the message shows the difference."""


class StudyNotFoundError(InputError):
    """The storage has no study of this name."""


class StudyBusyError(InputError):
    """Workers hold trials of a study to be deleted or copied; the message names them."""


class BudgetError(InputError):
    """The study's budget has no room for another trial."""


class StorageError(HpoError):
    """The database failed or is unreachable. The message never contains a password."""


class DamagedStudyError(StorageError):
    """Rows of a study cannot be read; the message names the study, the value and the remedy.

    Attributes:
        flaw: which value is damaged, and what it must be.
    """

    def __init__(self, study: str, where: str, flaw: str, *, is_ours: bool = True) -> None:
        """Describe the damage.

        Args:
            study: name of the study.
            where: URL of the storage without password.
            flaw: which value is damaged, and what it must be.
            is_ours: whether hpo created the study, and can delete it.
        """
        self.flaw = flaw
        how = f" with: hpo delete {study}" if is_ours else ""
        super().__init__(
            f"study {study} in {where} is damaged: {flaw}; restore the storage from a backup, or "
            f"delete the study{how}"
        )


class StorageUnavailableError(StorageError):
    """The database is unreachable; a retry can help."""


class ArtifactError(HpoError):
    """An artifact is missing, does not match its digest, or cannot be written."""


class ExportError(HpoError):
    """An exported file would predict differently than the model; the message says how."""


class MetricError(HpoError):
    """The code of a metric of an installed package failed; the message names the metric."""


class LeaseLostError(HpoError):
    """Another worker holds the trial's lease: abandon the trial quietly."""


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if the message is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def printable(text: str) -> str:
    """Escape control characters, which a terminal would interpret."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)` for the closest known word; empty if none is close."""
    match = difflib.get_close_matches(word, list(known), n=1)
    return f' (did you mean "{match[0]}"?)' if match else ""
