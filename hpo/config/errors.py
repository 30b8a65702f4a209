"""Every error that `hpo` raises on purpose.

    HpoError                    exit 1: failed while working
    ├── InputError              exit 2: what the user gave is wrong
    │   ├── DefinitionError     a study, search-space or trial file
    │   ├── DataError           a table, its columns or its split
    │   │   └── AmbiguousCellsError  cells that read in two ways; a key decides
    │   ├── StudyConflictError  the name is taken by another definition
    │   ├── StudyNotFoundError  no study of that name in the storage
    │   ├── StudyBusyError      workers are at a study that is to be deleted or copied
    │   └── BudgetError         a trial that the study's budget has no room for
    ├── StorageError            the database refused
    │   └── StorageUnavailableError  it is out of reach now; trying again can help
    ├── ArtifactError           an artifact is missing, damaged or cannot be written
    ├── ExportError             an exported file would not predict as the model does
    └── LeaseLostError          the trial belongs to another worker now

The command line catches `HpoError` alone and prints its one sentence; anything else is a bug and
keeps its traceback.
"""

import difflib
import re
from collections.abc import Iterable

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class HpoError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with."""

    exit_code = 1


class InputError(HpoError):
    """What the user gave is wrong; nothing was changed."""

    exit_code = 2


class DefinitionError(InputError):
    """A study, search-space or trial file: names file, dotted key, value and what is allowed."""


class DataError(InputError):
    """A table that cannot be trained on, and why."""


class AmbiguousCellsError(DataError):
    """Cells that read in two ways.

    Attributes:
        key: of `[data]`, which decides.
        options: its values that fit.
    """

    def __init__(self, message: str, key: str, options: tuple[str, str]) -> None:
        super().__init__(message)
        self.key = key
        self.options = options


class StudyConflictError(InputError):
    """A study of this name exists with a different definition; the message shows the difference."""


class StudyNotFoundError(InputError):
    """The storage holds no study of this name."""


class StudyBusyError(InputError):
    """Workers hold trials of a study that is to be deleted or copied; the message names them."""


class BudgetError(InputError):
    """The study's budget has no room for another trial."""


class StorageError(HpoError):
    """The database refused, or is out of reach. The message never holds a password."""


class StorageUnavailableError(StorageError):
    """The database is out of reach now, and trying again can help."""


class ArtifactError(HpoError):
    """An artifact is missing, does not match its digest, or cannot be written."""


class ExportError(HpoError):
    """An exported file would not predict as the model does; the message says where, how far."""


class LeaseLostError(HpoError):
    """The trial's lease is held by somebody else now: abandon it quietly."""


def first_line(error: Exception) -> str:
    """What an error says before it goes into detail; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def printable(text: str) -> str:
    """Text whose control characters, by which it would command a terminal, are written out."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean "x"?)` for the closest known word, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1)
    return f' (did you mean "{match[0]}"?)' if match else ""
