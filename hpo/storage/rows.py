"""Statements that write many rows of a table at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection


def upsert(
    connection: Connection, table: sa.Table, key: Sequence[str], replaced: Sequence[str]
) -> sa.Insert:
    """An INSERT that replaces some columns if a row with the same key exists."""
    if connection.dialect.name == "mysql":
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update({name: insert.inserted[name] for name in replaced})
    is_sqlite = connection.dialect.name == "sqlite"
    into = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    set_ = {name: into.excluded[name] for name in replaced}
    return into.on_conflict_do_update(index_elements=key, set_=set_)


def write_rows(
    connection: Connection, insert: sa.Insert, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows of the same columns, in order.

    SQLite's driver repeats a statement quickly, and MySQL's driver joins statements into one.
    PostgreSQL's driver would send one statement per row, so it gets one array per column.
    """
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert, rows)
        return
    columns = {name: insert.table.c[name].type for name in rows[0]}
    arrays = {name: _array([row[name] for row in rows], kind) for name, kind in columns.items()}
    unnested = [
        sa.func.unnest(sa.bindparam(name, type_=postgresql.ARRAY(kind)))
        for name, kind in columns.items()
    ]
    connection.execute(insert.from_select(list(columns), sa.select(*unnested)), arrays)


def _array(values: list[Any], kind: sa.types.TypeEngine[Any]) -> list[Any]:
    """The values of a column; the driver refuses a mix of int and float."""
    return [float(value) for value in values] if isinstance(kind, sa.Float) else values
