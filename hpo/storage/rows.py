"""Rows: many of one table written by one statement.

Functions take a connection inside a transaction; none commits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection


def upsert(
    connection: Connection, table: sa.Table, key: Sequence[str], replaced: Sequence[str]
) -> sa.Insert:
    """An insert that replaces some columns where a row of the same key is there already."""
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
    """Insert rows, all of the same columns, in their order.

    SQLite's driver repeats a statement in no time, and MySQL's makes one of many. PostgreSQL's
    would send one a row: there they go as an array a column.
    """
    if not rows:
        return
    if connection.dialect.name != "postgresql":
        connection.execute(insert, rows)
        return
    names = list(rows[0])
    columns = [
        sa.func.unnest(sa.bindparam(name, type_=postgresql.ARRAY(insert.table.c[name].type)))
        for name in names
    ]
    arrays = {name: [row[name] for row in rows] for name in names}
    connection.execute(insert.from_select(names, sa.select(*columns)), arrays)
