"""Rows of the outbox: written in somebody's transaction, read and marked by whoever applies them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from warmer.core.changes import Changes
from warmer.errors import OutboxMissing
from warmer.outbox.schema import outbox

#: Statements on the outbox table itself carry this: they are nobody's change.
OURS: dict[str, Any] = {"warmer_ours": True}
#: The same for SQL as text, in which a `%` is no parameter.
PLAIN_SQL: dict[str, Any] = OURS | {"no_parameters": True}
#: Made once: what SQLAlchemy makes of a statement is kept with it, and takes longer than to run it.
_INSERT = insert(outbox)
_MARKED_AT_ONCE = 500
_MISSING = ("no such table", "does not exist", "doesn't exist", "Invalid object name")


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is not applied yet. changes: as it was written; own: its writer means to apply it."""

    id: int
    changes: str
    own: bool


def write(connection: Connection, namespace: str, changes: Changes, *, own: bool) -> int:
    """One row in the connection's transaction; its id. Raises OutboxMissing: it must not commit then."""
    row = {"namespace": namespace, "own": own, "changes": changes.text()}
    try:
        result = connection.execute(_INSERT, row, execution_options=OURS)
    except DBAPIError as exc:
        if means_missing(exc):
            raise OutboxMissing(connection.engine.url.render_as_string(), str(exc.orig)) from exc
        raise
    key = result.inserted_primary_key
    return int(key[0]) if key is not None else 0


def means_missing(error: DBAPIError) -> bool:
    """Whether what a statement on the table raised means that there is none."""
    text = str(error.orig)
    return outbox.name in text and any(words in text for words in _MISSING)


def pending(connection: Connection, namespace: str, most: int) -> Sequence[Row]:
    """Rows that nobody has marked as applied, the oldest first; what another relay is at is left to it.

    By what is missing and never by the newest id: ids are given before COMMIT, and become visible out of
    order.
    """
    found = (
        select(outbox.c.id, outbox.c.changes, outbox.c.own)
        .where(outbox.c.namespace == namespace, outbox.c.applied_at.is_(None))
        .order_by(outbox.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return [Row(*row) for row in connection.execute(found, execution_options=OURS)]


def unapplied(connection: Connection, namespace: str, row: int) -> str | None:
    """The changes of one row, if it is there and nobody has marked it as applied."""
    found = select(outbox.c.changes).where(
        outbox.c.id == row, outbox.c.namespace == namespace, outbox.c.applied_at.is_(None)
    )
    return connection.execute(found, execution_options=OURS).scalar_one_or_none()


def mark(connection: Connection, ids: Iterable[int], stamp: int) -> None:
    """These are applied, with this stamp."""
    waiting = sorted(ids)
    for at in range(0, len(waiting), _MARKED_AT_ONCE):
        some = waiting[at : at + _MARKED_AT_ONCE]
        marked = (
            update(outbox)
            .where(outbox.c.id.in_(some), outbox.c.applied_at.is_(None))
            .values(applied_at=func.current_timestamp(), stamp=stamp)
        )
        connection.execute(marked, execution_options=OURS)


def prune(connection: Connection, namespace: str, keep_s: float, most: int = 1000) -> int:
    """Take rows that were applied longer ago than `keep_s`, `most` at a time; how many went."""
    now: datetime = connection.execute(select(func.current_timestamp()), execution_options=OURS).scalar_one()
    over = (
        select(outbox.c.id)
        .where(outbox.c.namespace == namespace, outbox.c.applied_at < now - timedelta(seconds=keep_s))
        .order_by(outbox.c.applied_at)
        .limit(most)
    )
    gone = connection.execute(delete(outbox).where(outbox.c.id.in_(over)), execution_options=OURS)
    return int(gone.rowcount)


def count(connection: Connection, namespace: str) -> tuple[int, int]:
    """How many rows of the namespace there are: pending, and applied but kept."""
    counted = select(func.count(), func.count(outbox.c.applied_at)).where(outbox.c.namespace == namespace)
    total, applied = connection.execute(counted, execution_options=OURS).one()
    return int(total) - int(applied), int(applied)


__all__ = [
    "OURS",
    "PLAIN_SQL",
    "Row",
    "count",
    "mark",
    "means_missing",
    "pending",
    "prune",
    "unapplied",
    "write",
]
