"""Storages made by an older hpo or Optuna, brought up to date in place.

To change our tables: change them in `schema`, raise `schema.VERSION` by one, and add the step below
that makes the same of the tables before. A step is one that may be done twice: MySQL keeps what was
changed before a step was cut off.
"""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection

from hpo.config.errors import StorageError
from hpo.storage import dialects, schema
from hpo.storage.engine import check_file, connect_optuna, newer, said_of


def _to_2(connection: Connection) -> None:
    """Count device time; let workers have a share of a device; find open trials by an index.

    Remember deleted studies.
    """
    schema.DELETED.create(connection, checkfirst=True)
    _add_column(connection, "hpo_clocks", "device_ms", "BIGINT NOT NULL DEFAULT 0")
    _add_column(connection, "hpo_workers", "share", "FLOAT(53) NOT NULL DEFAULT 1")
    schema.fit(connection)


STEPS: dict[int, Callable[[Connection], None]] = {1: _to_2}
"""By the version that a step starts from."""


def upgrade(url: str) -> list[str]:
    """Bring a storage's tables to the present version, its studies as they are.

    Returns:
        What was done, a line each; nothing when it was up to date.

    Raises:
        InputError: the URL is none, or of a kind unknown here.
        StorageError: there is no such storage, or a newer hpo made it.
    """
    parsed = dialects.parse(url)
    safe = dialects.safe(parsed)
    check_file(parsed, safe, create=False)
    with said_of(safe), dialects.creation_lock(parsed):
        with dialects.read_only_engine(parsed).connect() as connection:
            if not sa.inspect(connection).has_table(schema.OPTUNAS_VERSION):
                raise StorageError("holds no tables yet; hpo create or hpo run makes them")
            found = schema.read_version(connection)
        if found is not None and found > schema.VERSION:
            raise newer("version", found, schema.VERSION)
        return [*_upgrade_optuna(parsed), *_upgrade_ours(parsed, found)]


def _upgrade_optuna(parsed: URL) -> list[str]:
    backend = connect_optuna(parsed)
    try:
        found, needed = backend.get_current_version(), backend.get_head_version()
        if found == needed:
            return []
        if found not in backend.get_all_versions():
            raise newer("Optuna's version", found, needed)
        backend.upgrade()
        return [f"Optuna's tables: from {found} to {needed}"]
    finally:
        backend.remove_session()
        backend.engine.dispose()


def _upgrade_ours(parsed: URL, found: int | None) -> list[str]:
    """Take every step in one transaction; MySQL commits each change of a table by itself."""
    if found is None or found == schema.VERSION:
        return []
    if found not in STEPS:
        raise StorageError(f"its tables are of version {found}, which no step starts from")
    engine = dialects.locking_engine(parsed, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for version in range(found, schema.VERSION):
            STEPS[version](connection)
            connection.execute(sa.update(schema.VERSIONS).values(version=version + 1))
    return [f"hpo's tables: from version {found} to {schema.VERSION}"]


def _add_column(connection: Connection, table: str, column: str, kind: str) -> None:
    if column not in {found["name"] for found in sa.inspect(connection).get_columns(table)}:
        connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {column} {kind}"))
