"""The outbox table. For Alembic: put `warmer.outbox.schema.metadata` beside your own in `target_metadata`."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    inspect,
)

#: Holds the outbox table and nothing else.
metadata = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER keys only

#: One row for each transaction that changed something. own: its writer applies it by itself, after COMMIT.
#: stamp: the invalidation's, of the server that it was applied on.
outbox = Table(
    "warmer_outbox",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("namespace", String(64), nullable=False),
    Column("own", Boolean, nullable=False),
    Column("changes", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.current_timestamp()),
    Column("applied_at", DateTime(timezone=True)),
    Column("stamp", BigInteger),
    # Reused ids could be marked as applied in another's place.
    sqlite_autoincrement=True,
)

_pending: Any = outbox.c.applied_at.is_(None)
Index("warmer_outbox_pending", outbox.c.id, postgresql_where=_pending, sqlite_where=_pending)
Index("warmer_outbox_applied", outbox.c.applied_at)


def create(connection: Connection) -> bool:
    """Create the table and its indexes, unless they are there; whether they were not."""
    missing = not exists(connection)
    metadata.create_all(connection)
    return missing


def exists(connection: Connection) -> bool:
    """Whether the table is there."""
    return bool(inspect(connection).has_table(outbox.name))


def lacks(connection: Connection) -> tuple[str, ...]:
    """The columns and indexes that the table should have and has not."""
    seen = inspect(connection)
    columns = {column["name"] for column in seen.get_columns(outbox.name)}
    indexes = {index["name"] for index in seen.get_indexes(outbox.name)}
    missing = [column.name for column in outbox.columns if column.name not in columns]
    return (*missing, *sorted(str(index.name) for index in outbox.indexes if index.name not in indexes))


def drop(connection: Connection) -> bool:
    """Drop the table with all that is in it; whether it was there."""
    there = exists(connection)
    metadata.drop_all(connection)
    return there
