"""The outbox table, and one of facts.

For Alembic: put `warmer.outbox.schema.metadata` beside your own in `target_metadata`.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

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
    delete,
    false,
    func,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

#: Holds the tables of Warmer's own and nothing else.
metadata = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up INTEGER keys only

#: One row for each transaction that changed something. own: its writer applies it by itself, after COMMIT.
#: life: of the server in which it was applied; stamp: one that was given there when all of it was done.
#: Rows without a life were marked by an earlier release; "" is before invalidations went through the outbox.
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
    Column("life", String(16)),
    # Reused ids could be marked as applied in another's place.
    sqlite_autoincrement=True,
)

#: What a table of an earlier release needs; its programs go on writing to it.
ADD_LIFE: Final = f"ALTER TABLE {outbox.name} ADD COLUMN life VARCHAR(16)"

#: The fact that tells this database from others: barriers of strict queries say whose transactions they are.
IDENTITY: Final = "identity"

#: What is known of the database itself: its identity, and which namespaces have strict queries over it.
facts = Table(
    "warmer_facts",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", String(100), nullable=False),
)

#: Of PostgreSQL's advisory locks, the one of those who create: any number will do.
_CREATE_LOCK: Final = 7_762_109

_MARKS: Final = "warmer_outbox_marks"
#: The index of an earlier release, in its place.
_MARKS_BEFORE: Final = "warmer_outbox_lives"
_pending: Any = outbox.c.applied_at.is_(None)
Index("warmer_outbox_pending", outbox.c.id, postgresql_where=_pending, sqlite_where=_pending)
Index("warmer_outbox_applied", outbox.c.applied_at)
Index(_MARKS, outbox.c.namespace, outbox.c.life, outbox.c.stamp)


def create(connection: Connection) -> bool:
    """Create the tables and their indexes, unless they are there; whether the outbox was not.

    A table of an earlier release gets the column that it lacks: its rows and writers don't notice. Of two who
    create at once, one waits for the other's commit.
    """
    _wait_for_others(connection)
    missing = not exists(connection)
    metadata.create_all(connection)
    for statement in alterations(connection):
        connection.exec_driver_sql(statement)
    note_fact(connection, IDENTITY, uuid.uuid4().hex)
    return missing


def _wait_for_others(connection: Connection) -> None:
    """Until this transaction is over, nobody else gets past here."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATE_LOCK})
    elif (
        connection.dialect.name == "sqlite"
    ):  # its lock is the writer's, and a statement takes it that writes nothing
        connection.execute(CreateTable(facts, if_not_exists=True))
        connection.execute(delete(facts).where(false()), execution_options={"warmer_ours": True})


def note_fact(connection: Connection, name: str, value: str) -> None:
    """Write a fact down, unless there is one of this name."""
    statement: Any = insert(facts)
    if connection.dialect.name in ("postgresql", "sqlite"):
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(facts).on_conflict_do_nothing()
    if connection.execute(select(facts.c.value).where(facts.c.name == name)).first() is None:
        connection.execute(statement.values(name=name, value=value), execution_options={"warmer_ours": True})


def exists(connection: Connection) -> bool:
    """Whether the table is there."""
    return bool(inspect(connection).has_table(outbox.name))


def alterations(connection: Connection) -> tuple[str, ...]:
    """The statements that make a table of an earlier release one of this; none where it is."""
    if not exists(connection):
        return ()
    missing, statements = lacks(connection), []
    if outbox.c.life.name in missing:
        statements.append(ADD_LIFE)
    if _MARKS in missing:
        statements.append(f"CREATE INDEX {_MARKS} ON {outbox.name} (namespace, life, stamp)")
    if any(index["name"] == _MARKS_BEFORE for index in inspect(connection).get_indexes(outbox.name)):
        statements.append(f"DROP INDEX {_MARKS_BEFORE}")
    return tuple(statements)


def lacks(connection: Connection) -> tuple[str, ...]:
    """The columns and indexes that the outbox should have and has not, and the table that is missing."""
    seen = inspect(connection)
    tables = () if seen.has_table(facts.name) else (facts.name,)
    columns = {column["name"] for column in seen.get_columns(outbox.name)}
    indexes = {index["name"] for index in seen.get_indexes(outbox.name)}
    missing = [column.name for column in outbox.columns if column.name not in columns]
    return (
        *tables,
        *missing,
        *sorted(str(index.name) for index in outbox.indexes if index.name not in indexes),
    )


def drop(connection: Connection) -> bool:
    """Drop the tables with all that is in them; whether the outbox was there."""
    there = exists(connection)
    metadata.drop_all(connection)
    return there
