"""What a database says of its transactions: who it is, which one this is, whether one is over.

PostgreSQL knows each transaction by an id that is never used again. SQLite has one writer at a time: who has
its write lock knows that every transaction that wrote before is over. Of other databases nothing like it is
known here.
"""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import Connection, inspect, select, text, update

from warmer.outbox.rows import OURS
from warmer.outbox.schema import IDENTITY, facts, note_fact

SUPPORTED: Final = ("postgresql", "sqlite")
_THIS = "SELECT pg_current_xact_id()::text, (SELECT value FROM warmer_facts WHERE name = 'identity')"
_STATUS = "SELECT pg_xact_status(CAST(:id AS xid8))"
_OPEN = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_xact_id()::text"


def _strict(namespace: str) -> str:
    return f"strict:{namespace}"


def this_transaction(connection: Connection) -> tuple[str | None, str]:
    """The database's identity (None: it has none yet), and the id of the connection's transaction."""
    if connection.dialect.name == "postgresql":
        number, identity = connection.execute(text(_THIS), execution_options=OURS).one()
        return identity, number
    return _value(connection, IDENTITY), ""


def identity_of(connection: Connection) -> str | None:
    """The database's identity, if it has one."""
    return _value(connection, IDENTITY)


def is_used(connection: Connection, namespace: str) -> bool:
    """Whether strict queries of the namespace have ever been in force over this database."""
    there = inspect(connection).has_table(facts.name)
    return there and _value(connection, _strict(namespace)) is not None


def note_use(connection: Connection, namespace: str) -> None:
    """Note that the namespace has strict queries over the database; give it an identity, if it has none."""
    note_fact(connection, IDENTITY, uuid.uuid4().hex)
    note_fact(connection, _strict(namespace), "in force")


def is_over(connection: Connection, transaction: str) -> bool | None:
    """PostgreSQL: whether an ended transaction was committed; None: it goes on.

    One so old that its outcome is not kept is over, and counts as committed. A prepared one goes on.
    """
    status = connection.execute(text(_STATUS), {"id": transaction}, execution_options=OURS).scalar_one()
    return None if status == "in progress" else status != "aborted"


def open_transactions(connection: Connection) -> tuple[int, int]:
    """PostgreSQL: the oldest that is open now, and this one, which is later than all that are.

    Of those that have written: others have no number. Prepared ones are open. (A snapshot's own end does not
    do: it is one past the latest that is over, and the latest that is open may be that very one.)
    """
    oldest, coming = connection.execute(text(_OPEN), execution_options=OURS).one()
    return int(oldest), int(coming)


def take_write_lock(connection: Connection) -> None:
    """SQLite: wait until whoever writes has ended, and keep other writers out for this transaction."""
    touched = update(facts).where(facts.c.name == IDENTITY).values(value=facts.c.value)
    connection.execute(touched, execution_options=OURS)


def _value(connection: Connection, name: str) -> str | None:
    found = select(facts.c.value).where(facts.c.name == name)
    return connection.execute(found, execution_options=OURS).scalar_one_or_none()
