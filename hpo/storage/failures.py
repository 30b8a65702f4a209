"""Translation of database errors into `StorageError` and `StorageUnavailableError`.

An outage is an error that a retry may not meet again: a server that is down, starting or full, a
broken connection, a lock timeout, a full disk. Other errors, such as a missing table, persist.

Messages have one line and contain no password.
"""

import sqlite3

import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

from hpo.config.errors import StorageError, StorageUnavailableError

Code = str | int
"""PostgreSQL's five characters, MySQL's numbers from 1000, SQLite's numbers below 256."""

DRIVERS = {"sqlite3", "psycopg", "pymysql"}

CONFLICTS: set[Code] = {"40001", "40P01", 1020, 1213}
"""PostgreSQL's and MySQL's codes of transactions that conflict with another one."""

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
    *(2002, 2003, 2006, 2013, 2055),  # connection lost, as noticed by the client
    1047,  # a cluster node that is not ready
    *(1290, 1792, 1836),  # read-only after a failover
    *(1205, 1969, 3024),  # timeout
    *("25P03", "25006", "55P03"),  # PostgreSQL: idle timeout, read-only, lock timeout
}
OUTAGE_CLASSES = ("08", "53", "57", "58")
"""Prefixes of PostgreSQL's other outage codes: connection, resources, operator, system."""

REFUSED = ("does not exist", "authentication failed", "pg_hba.conf", "no password supplied")
"""Phrases of connection errors that persist; PostgreSQL gives no code for them."""


def translate(error: BaseException, safe_url: str) -> StorageError | None:
    """The error to raise instead of a database's or Optuna's; None for any other error."""
    found = _unwrap(error)
    if not (isinstance(found, sa.exc.SQLAlchemyError | StorageInternalError) or _driver(found)):
        return None
    kind = StorageUnavailableError if _is_outage(found) else StorageError
    return kind(f"storage {safe_url}: {_message(found)}")


def is_conflict(error: BaseException | None) -> bool:
    """Whether a transaction failed because of a concurrent one and can be retried at once."""
    return error is not None and _code(_driver_error(_unwrap(error))) in CONFLICTS


def _unwrap(error: BaseException) -> BaseException:
    """The cause of an Optuna error, or the error itself."""
    is_optunas = isinstance(error, StorageInternalError)
    return error.__cause__ if is_optunas and error.__cause__ is not None else error


def _driver_error(error: BaseException) -> BaseException:
    """The driver's error within an SQLAlchemy error."""
    return getattr(error, "orig", None) or error


def _driver(error: BaseException) -> str | None:
    """Name of the driver that defines the error's class; None if no driver does."""
    homes = (kind.__module__.split(".")[0] for kind in type(error).__mro__)
    return next((home for home in homes if home in DRIVERS), None)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, sa.exc.TimeoutError | sa.exc.PendingRollbackError):
        return True  # no free connection; the connection broke at an earlier statement
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return True
    error = _driver_error(error)
    code = _code(error)
    if code is not None:
        is_class = isinstance(code, str) and code.startswith(OUTAGE_CLASSES)
        return is_class or code in OUTAGES | CONFLICTS
    names = {kind.__name__ for kind in type(error).__mro__}  # timeouts are subclasses
    is_connection = not names.isdisjoint(("OperationalError", "InterfaceError"))
    return is_connection and not any(words in str(error) for words in REFUSED)


def _code(error: BaseException) -> Code | None:
    """The database's error code; None if there is only a message."""
    match _driver(error):
        case "sqlite3":
            code: int | None = getattr(error, "sqlite_errorcode", None)
            return None if code is None else code & 0xFF
        case "psycopg":
            sqlstate: str | None = getattr(error, "sqlstate", None)
            return sqlstate
        case "pymysql" if error.args and isinstance(error.args[0], int):
            return error.args[0] or None  # 0 means that the connection is closed
    return None


def _message(error: BaseException) -> str:
    """The first line of the driver's message; drivers do not repeat passwords."""
    error = _driver_error(error)
    text = str(error)
    if _driver(error) == "pymysql" and error.args:  # a code and a text
        text = str(error.args[-1]) or "the connection is closed"
    lines = text.strip().splitlines()
    return lines[0] if lines else type(error).__name__
