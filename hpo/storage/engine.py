"""Storages: opened, their tables made where they are missing, read and written.

One engine reads and waits for nobody; on SQLite another one writes, which takes the write lock at
once. The tables are made under a lock, so that many processes may open a new storage at once; where
they are all there, a process opens it over one connection at a time.

Owns passwords: no message that leaves this room holds one.
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
from sqlalchemy.engine import URL, Connection, Engine

from hpo.config.errors import InputError, StorageError, StorageUnavailableError
from hpo.storage import dialects, schema
from hpo.storage.failures import is_in_the_way, translate
from hpo.storage.reader import StudyReader

Result = TypeVar("Result")

log = logging.getLogger(__name__)

MAX_TRIES = 5
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EAGAIN, errno.EMFILE, errno.ENFILE}
"""What the folder of a SQLite file says that may be over at the next try."""
LONGEST_PAUSE = 5.0
"""Seconds between two tries to open a storage that is out of reach."""


@dataclass(frozen=True, kw_only=True)
class Storage:
    """An open storage.

    Attributes:
        url: with its password; for the environment of worker processes, never for a message.
        safe_url: without.
        reader: Optuna's storage as samplers and pruners read it.
        plain: Optuna's own storage over it, for other tools of Optuna's, such as its dashboard.
    """

    url: str = field(repr=False)
    safe_url: str
    reader: StudyReader
    plain: optuna.storages.RDBStorage
    _reads: Engine
    _writes: Engine

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Do some work in one write transaction.

        Args:
            work: the statements; called again from its start when another transaction got in the
                way, which PostgreSQL may say at any statement.

        Raises:
            StorageError: the database refused it.
            StorageUnavailableError: it is out of reach; nothing was written, or, where it went
                away at the very end, all of it.
        """
        for attempt in range(MAX_TRIES):
            try:
                with self.errors(), self._writes.begin() as connection:
                    return work(connection)
            except StorageError as error:
                if not is_in_the_way(error.__cause__) or attempt == MAX_TRIES - 1:
                    raise
                time.sleep(random.uniform(0, 0.05 * 2**attempt))
        raise AssertionError("unreachable")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with, which waits for no writer.

        Raises:
            StorageUnavailableError: the database is out of reach.
        """
        with self.errors(), self._reads.connect() as connection:
            yield connection

    def check_room(self, n_workers: int) -> None:
        """Accept as many workers as the server has connections for; each keeps one.

        Raises:
            InputError: there are too few.
        """
        with self.read() as connection:
            left = dialects.connections_left(connection)
        if left is not None and left < n_workers:
            raise InputError(
                f"storage {self.safe_url}: takes {left} more connections, and {n_workers} workers "
                "need one each: start fewer, or raise max_connections"
            )

    def close(self) -> None:
        """Close its connections."""
        self.reader.close()
        self._reads.dispose()
        self._writes.dispose()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Let what databases raise out as a StorageError of one sentence, integrity apart."""
        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except Exception as error:
            if (ours := translate(error, self.safe_url)) is None:
                raise
            raise ours from error


def open_storage(url: str, *, create: bool = True, patience: float = 0.0) -> Storage:
    """Open a storage, and make its tables where they are missing.

    Args:
        url: sqlite:///FILE, or postgresql:// or mariadb://USER:PASSWORD@HOST/DATABASE.
        create: whether a SQLite file that is not there may be made.
        patience: seconds for which a database out of reach is tried again.

    Raises:
        InputError: the URL is none, or of a kind unknown here.
        StorageError: its tables are of another version, or the database refused.
        StorageUnavailableError: the database is out of reach.
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
                log.warning("%s; trying again for up to %.0f s", error, left)
            time.sleep(min(left, random.uniform(0.0, min(LONGEST_PAUSE, 0.2 * 2**attempt))))
    raise AssertionError("unreachable")


def _open(parsed: URL, *, create: bool) -> Storage:
    safe = dialects.safe(parsed)
    check_file(parsed, safe, create=create)
    with said_of(safe):
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
def said_of(safe_url: str) -> Iterator[None]:
    """What goes wrong with a storage's tables, in a sentence that names it."""
    try:
        yield
    except OSError as error:
        kind = StorageUnavailableError if error.errno in PASSING else StorageError
        raise kind(f"storage {safe_url}: cannot be written ({error.strerror})") from None
    except StorageError as error:
        raise type(error)(f"storage {safe_url}: {error}") from None
    except Exception as error:
        if (ours := translate(error, safe_url)) is None:
            raise
        raise ours from error


def check_file(parsed: URL, safe: str, *, create: bool) -> None:
    """See that a SQLite file is there and is one, or may be made."""
    if parsed.drivername != "sqlite":
        return
    path = Path(parsed.database or "")
    if not path.parent.is_dir():
        raise StorageError(f"storage {safe}: the folder {path.parent} does not exist")
    if not create and not path.exists():
        raise StorageError(f"storage {safe}: does not exist yet; hpo create or hpo run makes it")
    if path.exists() and not dialects.lock_file(parsed).exists():  # none beside another's file
        with said_of(safe), dialects.read_only_engine(parsed).connect() as connection:
            connection.exec_driver_sql("PRAGMA schema_version")


def _open_tables(parsed: URL) -> optuna.storages.RDBStorage:
    """Optuna's storage over tables that are all there; they are made under a lock."""
    with dialects.shared_lock(parsed):
        is_complete = _has_tables(parsed)
    if not is_complete:
        with dialects.creation_lock(parsed):
            if not _has_tables(parsed):  # another process was first
                _make_tables(parsed)
    return _open_optuna(parsed)


def _has_tables(parsed: URL) -> bool:
    if parsed.drivername == "sqlite" and not Path(parsed.database or "").exists():
        return False
    with dialects.read_only_engine(parsed).connect() as connection:
        found = schema.read_version(connection)
    if found is not None and found < schema.VERSION:
        raise older("version", found, schema.VERSION, parsed)
    if found is not None and found > schema.VERSION:
        raise newer("version", found, schema.VERSION)
    return found is not None


def _make_tables(parsed: URL) -> None:
    engine = dialects.locking_engine(parsed, poolclass=sa.pool.NullPool)
    with engine.connect():
        pass  # SQLite's journal is switched before anybody else looks
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
    """Optuna's own storage, whatever its version, on connections that are set up as ours are."""
    url = parsed.render_as_string(hide_password=False)
    dialect = dialects.of(parsed)
    backend = optuna.storages.RDBStorage(
        # Optuna calls str.format on it; SQLAlchemy 2.1 escapes braces, 2.0 leaves them
        url.replace("{", "{{").replace("}", "}}"),
        engine_kwargs={"connect_args": dialect.connect, **dialect.pool},
        skip_compatibility_check=True,  # it would leave its connection open
        skip_table_creation=not create,
    )
    with backend.engine.connect() as connection:  # the one it made before it could be told
        dialect.set_up(connection.connection.dbapi_connection, None)
    event.listen(backend.engine, "connect", dialect.set_up)
    return backend


def older(what: str, found: int | str, needed: int | str, parsed: URL) -> StorageError:
    """Tables that can be brought up to date."""
    return StorageError(
        f"its tables are of {what} {found}, and this hpo needs {what} {needed}: "
        f"hpo storage upgrade --storage {dialects.safe(parsed)} brings them up to date"
    )


def newer(what: str, found: int | str, needed: int | str) -> StorageError:
    """Tables that this hpo does not know."""
    return StorageError(
        f"its tables are of {what} {found}, and this hpo knows {what} {needed}: use a newer hpo"
    )
