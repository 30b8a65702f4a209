"""Opening, reading and writing of storages; missing tables are created.

Reads wait for no writer. On SQLite, writes use an engine of their own, whose transactions take the
write lock at once. Tables are created under a lock, so that many processes can open a new storage
at the same time.

No message of this package contains a password.
"""

import errno
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from hpo.config.errors import InputError, StorageError, StorageUnavailableError
from hpo.storage import dialects, schema
from hpo.storage.failures import is_conflict, translate
from hpo.storage.reader import StudyReader

Connection = sa.Connection
"""A connection inside a transaction, for the functions of this package.

Other packages pass it on and do not use SQLAlchemy themselves.
"""
Result = TypeVar("Result")

_log = logging.getLogger(__name__)

_MAX_TRIES = 5
_TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""Errors of the file system that a retry may not meet again."""
_MAX_PAUSE = 5.0
"""Maximum number of seconds between two attempts to open a storage."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """An open storage.

    Attributes:
        url: URL with its password, for the environment of worker processes; never for a message.
        safe_url: URL without password.
        reader: Optuna's storage for samplers and pruners.
        plain: Optuna's own storage on the same tables, for other Optuna programs.
    """

    url: str = field(repr=False)
    safe_url: str
    reader: StudyReader
    plain: optuna.storages.RDBStorage
    _reads: Engine
    _writes: Engine

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run some work in one write transaction and return its result.

        Args:
            work: executes the statements; called again if the transaction conflicts with another
                one, which PostgreSQL may report at any statement.

        Raises:
            StorageError: the database refused a statement.
            StorageUnavailableError: the database cannot be reached. Nothing was written, or
                everything if the connection was lost during the commit.
        """
        for attempt in range(_MAX_TRIES):
            try:
                with self.errors(), self._writes.begin() as connection:
                    return work(connection)
            except StorageError as error:
                if not is_conflict(error.__cause__) or attempt == _MAX_TRIES - 1:
                    raise
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise AssertionError("unreachable")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading that waits for no writer.

        Raises:
            StorageUnavailableError: the database cannot be reached.
        """
        with self.errors(), self._reads.connect() as connection:
            yield connection

    def check_room(self, n_workers: int) -> None:
        """Check that the server has a connection left for each of `n_workers` workers.

        Raises:
            InputError: there are too few connections.
        """
        with self.read() as connection:
            left = dialects.connections_left(connection)
        if left is not None and left < n_workers:
            raise InputError(
                f"storage {self.safe_url}: has {left} connections left, and {n_workers} workers "
                "need one each: start fewer, or raise max_connections"
            )

    def close(self) -> None:
        """Close all connections."""
        self.plain.remove_session()
        self._reads.dispose()
        self._writes.dispose()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate database errors into StorageError; an IntegrityError is a bug and passes."""
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except Exception as error:
            if (ours := translate(error, self.safe_url)) is None:
                raise
            raise ours from error


def open_storage(url: str, *, create: bool = True, patience: float = 0.0) -> Storage:
    """Open a storage and create its tables if they are missing.

    Args:
        url: sqlite:///FILE, or postgresql:// or mariadb://USER:PASSWORD@HOST/DATABASE.
        create: whether to create a missing SQLite file.
        patience: seconds during which to retry if the database cannot be reached.

    Raises:
        InputError: the URL is invalid, or of an unsupported database.
        StorageError: the tables have another version, or the database refused a statement.
        StorageUnavailableError: the database cannot be reached.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parsed = dialects.parse(url)
    give_up = time.monotonic() + patience
    for attempt in itertools.count():
        try:
            return _open(parsed, create=create)
        except StorageUnavailableError as error:
            left = give_up - time.monotonic()
            if left <= 0:
                raise
            if attempt == 0:
                _log.warning("%s; trying again for up to %.0f s", error, left)
            time.sleep(min(left, random.uniform(0.0, min(_MAX_PAUSE, 0.2 * 2**attempt))))
    raise AssertionError("unreachable")


def _open(parsed: URL, *, create: bool) -> Storage:
    safe = dialects.safe(parsed)
    check_file(parsed, safe, create=create)
    with naming_storage(safe):
        backend = _open_tables(parsed)
    is_sqlite = parsed.drivername == "sqlite"
    return Storage(
        url=parsed.render_as_string(hide_password=False),
        safe_url=safe,
        reader=StudyReader(backend),
        plain=backend,
        _reads=backend.engine,
        _writes=dialects.locking_engine(parsed) if is_sqlite else backend.engine,
    )


@contextmanager
def naming_storage(safe_url: str) -> Iterator[None]:
    """Turn errors with a storage's tables into a StorageError that names the storage."""
    try:
        yield
    except OSError as error:
        kind = StorageUnavailableError if error.errno in _TRANSIENT else StorageError
        raise kind(f"storage {safe_url}: cannot be written ({error.strerror})") from None
    except StorageError as error:
        raise type(error)(f"storage {safe_url}: {error}") from None
    except Exception as error:
        if (ours := translate(error, safe_url)) is None:
            raise
        raise ours from error


def check_file(parsed: URL, safe: str, *, create: bool) -> None:
    """Check that a SQLite file exists and is one, or may be created."""
    if parsed.drivername != "sqlite":
        return
    path = Path(parsed.database or "")
    if not path.parent.is_dir():
        raise StorageError(f"storage {safe}: the folder {path.parent} does not exist")
    if not create and not path.exists():
        raise StorageError(f"storage {safe}: does not exist yet; hpo create or hpo run makes it")
    if path.exists() and not dialects.lock_file(parsed).exists():  # maybe not a file of hpo
        with naming_storage(safe), dialects.read_only_engine(parsed).connect() as connection:
            connection.exec_driver_sql("PRAGMA schema_version")


def _open_tables(parsed: URL) -> optuna.storages.RDBStorage:
    """Optuna's storage; missing tables are created under a lock."""
    with dialects.shared_lock(parsed):
        is_complete = _has_tables(parsed)
    if not is_complete:
        with dialects.creation_lock(parsed):
            if not _has_tables(parsed):  # another process may have been first
                _create_tables(parsed)
    return _open_optuna(parsed)


def _has_tables(parsed: URL) -> bool:
    if parsed.drivername == "sqlite" and not Path(parsed.database or "").exists():
        return False
    with dialects.read_only_engine(parsed).connect() as connection:
        found = schema.read_version(connection)
        is_whole = schema.is_whole(connection)
    if found is not None and found < schema.VERSION:
        raise older("version", found, schema.VERSION, parsed)
    if found is not None and found > schema.VERSION:
        raise newer("version", found, schema.VERSION)
    return found is not None and is_whole


def _create_tables(parsed: URL) -> None:
    engine = dialects.locking_engine(parsed, poolclass=sa.pool.NullPool)
    with engine.connect():
        pass  # switches SQLite's journal before any other process reads
    backend = connect_optuna(parsed, create=True)
    backend.remove_session()
    backend.engine.dispose()
    with engine.begin() as connection:
        schema.create(connection)


def _open_optuna(parsed: URL) -> optuna.storages.RDBStorage:
    backend = connect_optuna(parsed)
    found, needed = backend.get_current_version(), backend.get_head_version()
    if found != needed:
        backend.remove_session()
        backend.engine.dispose()
        if found in backend.get_all_versions():
            raise older("Optuna's version", found, needed, parsed)
        raise newer("Optuna's version", found, needed)
    return backend


def connect_optuna(parsed: URL, *, create: bool = False) -> optuna.storages.RDBStorage:
    """Optuna's own storage of any version, with connections that are set up like hpo's."""
    url = parsed.render_as_string(hide_password=False)
    dialect = dialects.of(parsed)
    backend = optuna.storages.RDBStorage(
        # Optuna calls str.format on the URL; SQLAlchemy 2.1 escapes braces, 2.0 does not
        url.replace("{", "{{").replace("}", "}}"),
        engine_kwargs={"connect_args": dialect.connect, **dialect.pool},
        skip_compatibility_check=True,  # the check would leave its connection open
        skip_table_creation=not create,
    )
    with backend.engine.connect() as connection:  # opened before the listener was added
        dialect.set_up(connection.connection.dbapi_connection, None)
    event.listen(backend.engine, "connect", dialect.set_up)
    return backend


def older(what: str, found: int | str, needed: int | str, parsed: URL) -> StorageError:
    """The error for tables that can be upgraded."""
    return StorageError(
        f"its tables are of {what} {found}, and this hpo needs {what} {needed}: "
        f"hpo storage upgrade --storage {dialects.safe(parsed)} brings them up to date"
    )


def newer(what: str, found: int | str, needed: int | str) -> StorageError:
    """The error for tables of a newer version than this hpo supports."""
    return StorageError(
        f"its tables are of {what} {found}, and this hpo knows {what} {needed}: use a newer hpo"
    )
