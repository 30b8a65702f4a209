"""In-place upgrade of storages that an older hpo or Optuna created.

To change hpo's tables: change them in `schema`, raise `schema.VERSION` by one, and add a step to
`STEPS` that changes existing tables accordingly. A step must be repeatable, because MySQL keeps the
changes of a step that was interrupted.
"""

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection

from hpo.config.errors import StorageError
from hpo.storage import dialects, schema
from hpo.storage.engine import check_file, connect_optuna, naming_storage, newer


def _to_2(connection: Connection) -> None:
    """Add device time, workers' shares of a device, the index of open trials, deleted studies."""
    schema.DELETED.create(connection, checkfirst=True)
    _add_column(connection, "hpo_clocks", "device_ms", "BIGINT NOT NULL DEFAULT 0")
    _add_column(connection, "hpo_workers", "share", "FLOAT(53) NOT NULL DEFAULT 1")
    schema.fit(connection)


STEPS: dict[int, Callable[[Connection], None]] = {1: _to_2}
"""Steps by the version from which they upgrade."""


def upgrade(url: str) -> list[str]:
    """Upgrade a storage's tables to the current version; studies stay as they are.

    Returns:
        The changes, one line each; empty if the storage was up to date.

    Raises:
        InputError: the URL is invalid, or of an unsupported database.
        StorageError: the storage does not exist, or a newer hpo created it.
    """
    parsed = dialects.parse(url)
    safe = dialects.safe(parsed)
    check_file(parsed, safe, create=False)
    with naming_storage(safe), dialects.creation_lock(parsed):
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
    """Run all steps in one transaction; MySQL commits each change of a table by itself."""
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
