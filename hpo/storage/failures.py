"""What databases raise, in our words: out of reach for now, or refused for good.

An outage is what may be over when the same thing is tried again: a server that is down, starting
or full, a connection that broke, a lock that was not had in time, a full disk. Everything else,
such as a missing table, comes back however often it is tried.

Owns the sentences: one line, and no password in it.
"""

import sqlite3

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

from hpo.config.errors import StorageError, StorageUnavailableError

Code = str | int
"""PostgreSQL's five characters, MySQL's number from 1000 up, SQLite's below 256."""

DRIVERS = {"sqlite3", "psycopg", "pymysql"}

IN_THE_WAY: set[Code] = {"40001", "40P01", 1020, 1213}
"""A transaction met another: PostgreSQL's and MySQL's codes."""

OUTAGES: set[Code] = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    *(1021, 1114),  # MySQL: disk full, table full
    *(1040, 1203, 1226),  # too many connections
    *(1042, 1043, 1053, 1158, 1159, 1160, 1161, 1184, 1927, 3169, 4031),  # connection lost
    *(2002, 2003, 2006, 2013, 2055),  # the same, found by the client
    1047,  # a cluster's node that is not ready
    *(1290, 1792, 1836),  # read-only since another server took over
    *(1205, 1969, 3024),  # waited too long
    *("25P03", "25006", "55P03"),  # PostgreSQL: idle too long, read-only, waited too long
}
OUTAGE_CLASSES = ("08", "53", "57", "58")
"""How PostgreSQL's other codes begin: connections, resources, operators, the system."""

REFUSED = ("does not exist", "authentication failed", "pg_hba.conf", "no password supplied")
"""What PostgreSQL, which gives no code then, says of a connection that it will always refuse."""


def translate(error: BaseException, safe_url: str) -> StorageError | None:
    """The error to raise instead of a database's, or of Optuna's around it; None for any other."""
    found = _unwrap(error)
    if not (isinstance(found, sa.exc.SQLAlchemyError | StorageInternalError) or _driver(found)):
        return None
    kind = StorageUnavailableError if _is_outage(found) else StorageError
    return kind(f"storage {safe_url}: {_said(found)}")


def is_in_the_way(error: BaseException | None) -> bool:
    """Whether a transaction failed only because of another, and may be tried again at once."""
    return error is not None and _code(_drivers_own(_unwrap(error))) in IN_THE_WAY


def _unwrap(error: BaseException) -> BaseException:
    """What Optuna's error hides."""
    is_optunas = isinstance(error, StorageInternalError)
    return error.__cause__ if is_optunas and error.__cause__ is not None else error


def _drivers_own(error: BaseException) -> BaseException:
    """What the driver raised, out of what SQLAlchemy made of it."""
    return getattr(error, "orig", None) or error


def _driver(error: BaseException) -> str | None:
    """The driver that raises errors of this kind."""
    homes = (kind.__module__.split(".")[0] for kind in type(error).__mro__)
    return next((home for home in homes if home in DRIVERS), None)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, sa.exc.TimeoutError | sa.exc.PendingRollbackError):
        return True  # no connection was free; the connection broke at an earlier statement
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return True
    error = _drivers_own(error)
    code = _code(error)
    if code is not None:
        is_class = isinstance(code, str) and code.startswith(OUTAGE_CLASSES)
        return is_class or code in OUTAGES | IN_THE_WAY
    names = {kind.__name__ for kind in type(error).__mro__}  # a timeout has a class of its own
    is_connection = not names.isdisjoint(("OperationalError", "InterfaceError"))
    return is_connection and not any(words in str(error) for words in REFUSED)


def _code(error: BaseException) -> Code | None:
    """What the database calls its error; None where it says nothing but a sentence."""
    match _driver(error):
        case "sqlite3":
            code: int | None = getattr(error, "sqlite_errorcode", None)
            return None if code is None else code & 0xFF
        case "psycopg":
            sqlstate: str | None = getattr(error, "sqlstate", None)
            return sqlstate
        case "pymysql" if error.args and isinstance(error.args[0], int):
            return error.args[0] or None  # 0: the connection is closed
    return None


def _said(error: BaseException) -> str:
    """What the driver said, in one line; drivers repeat no password, and neither do we."""
    error = _drivers_own(error)
    said = str(error)
    if _driver(error) == "pymysql" and error.args:  # a code and a text
        said = str(error.args[-1]) or "the connection is closed"
    lines = said.strip().splitlines()
    return lines[0] if lines else type(error).__name__
