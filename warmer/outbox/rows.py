"""Rows of the outbox: written in somebody's transaction, read and marked by whoever applies them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, or_, select, union_all, update
from sqlalchemy.exc import DBAPIError

from warmer.core.changes import Changes
from warmer.errors import OutboxMissing, OutboxOutdated
from warmer.outbox import horizon
from warmer.outbox.lives import Ranges
from warmer.outbox.schema import ADD_LIFE, outbox
from warmer.outbox.settling import Settled

log = logging.getLogger("warmer")

#: Statements on the outbox table itself carry this: they are nobody's change.
OURS: dict[str, Any] = {"warmer_ours": True}
#: The same for SQL as text, in which a `%` is no parameter.
PLAIN_SQL: dict[str, Any] = OURS | {"no_parameters": True}
#: Made once: what SQLAlchemy makes of a statement is kept with it, and takes longer than to run it.
_INSERT = insert(outbox)
_MARKED_AT_ONCE = 500
_NO_COLUMN = ("no such column", "does not exist", "Unknown column", "Invalid column name")
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
        raise_if_missing(connection.engine.url.render_as_string(), exc)
        raise
    key = result.inserted_primary_key
    return int(key[0]) if key is not None else 0


def raise_if_missing(url: str, error: DBAPIError) -> None:
    """Raise OutboxMissing, or OutboxOutdated, if that is what a statement on the table failed for."""
    text = str(error.orig)
    if "life" in text and any(words in text for words in _NO_COLUMN):
        raise OutboxOutdated(url, ADD_LIFE) from error
    if outbox.name in text and any(words in text for words in _MISSING):
        raise OutboxMissing(url, text) from error


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


def outstanding(
    connection: Connection, namespace: str, lacks: Ranges, after: int, most: int
) -> Sequence[Row]:
    """Rows behind the id `after` that nobody has marked, or that are marked as applied elsewhere: `lacks`.

    In the order of their ids, and what others are at, too: all that is committed by now is seen.
    """
    found = (
        select(outbox.c.id, outbox.c.changes, outbox.c.own)
        .where(outbox.c.namespace == namespace, outbox.c.id > after)
        .where(or_(outbox.c.applied_at.is_(None), *lacks))
        .order_by(outbox.c.id)
        .limit(most)
    )
    return [Row(*row) for row in connection.execute(found, execution_options=OURS)]


def elsewhere(connection: Connection, namespace: str, lacks: Ranges, most: int) -> Sequence[Row]:
    """Rows that are marked as applied elsewhere, in any order; what another is at is left to it.

    Looked for range by range: where they are alternatives of one condition, PostgreSQL reads the whole table.
    """
    ours = outbox.c.namespace == namespace
    marked = union_all(*(select(outbox.c.id).where(ours, one) for one in lacks)).limit(most)
    ids = connection.execute(marked, execution_options=OURS).scalars().all()
    if not ids:
        return []
    found = (
        select(outbox.c.id, outbox.c.changes, outbox.c.own)
        .where(outbox.c.id.in_(ids), or_(*lacks))
        .with_for_update(skip_locked=True)
    )
    return [Row(*row) for row in connection.execute(found, execution_options=OURS)]


def clock(connection: Connection) -> datetime:
    """The database's own time, by which rows are marked."""
    now: datetime = connection.execute(select(func.current_timestamp()), execution_options=OURS).scalar_one()
    return now


def marked_before(
    connection: Connection, namespace: str, at: datetime, present: str, most: int
) -> dict[str, int]:
    """The newest stamp that was marked before `at`, by life; -1 where none was.

    Of the `most` latest lives, without the present one.
    """
    before = func.max(case((outbox.c.applied_at < at, outbox.c.stamp)))
    found = (
        select(outbox.c.life, before)
        .where(outbox.c.namespace == namespace, outbox.c.life.not_in(("", present)))
        .group_by(outbox.c.life)
        .order_by(func.max(outbox.c.applied_at).desc())
        .limit(most)
    )
    told = connection.execute(found, execution_options=OURS)
    return {life: -1 if stamp is None else int(stamp) for life, stamp in told}


def unapplied(connection: Connection, namespace: str, row: int) -> str | None:
    """The changes of one row, if it is there and nobody has marked it as applied."""
    found = select(outbox.c.changes).where(
        outbox.c.id == row, outbox.c.namespace == namespace, outbox.c.applied_at.is_(None)
    )
    return connection.execute(found, execution_options=OURS).scalar_one_or_none()


def merged(found: Iterable[Row]) -> tuple[Changes, list[int]]:
    """What these rows changed, and the ids of those that could be read; the others are logged, and stay."""
    changes, ids = Changes(), []
    for row in found:
        try:
            changes.merge(Changes.read(row.changes))
        except ValueError as exc:
            log.error("row %d of the outbox stays where it is: %s", row.id, exc)  # noqa: TRY400
        else:
            ids.append(row.id)
    return changes, ids


def mark(connection: Connection, ids: Iterable[int], settled: Settled, *, again: bool = False) -> None:
    """These are applied, in this life of the server.

    again: also what is marked already, as applied in another life; else that mark stays.
    """
    waiting = sorted(ids)
    unmarked = outbox.c.applied_at.is_(None)
    for at in range(0, len(waiting), _MARKED_AT_ONCE):
        some = waiting[at : at + _MARKED_AT_ONCE]
        which = or_(unmarked, outbox.c.life.is_distinct_from(settled.life)) if again else unmarked
        marked = (
            update(outbox)
            .where(outbox.c.id.in_(some), which)
            .values(applied_at=func.current_timestamp(), stamp=settled.stamp, life=settled.life)
        )
        connection.execute(marked, execution_options=OURS)


def prune(connection: Connection, namespace: str, keep_s: float, most: int = 1000) -> int:
    """Take rows that were applied longer ago than `keep_s`, `most` at a time; how many went.

    How far back the outbox is whole without them is written down with it.
    """
    over_at = outbox.c.applied_at < clock(connection) - timedelta(seconds=keep_s)
    over = (
        select(outbox.c.id, outbox.c.life, outbox.c.stamp)
        .where(outbox.c.namespace == namespace, over_at)
        .order_by(outbox.c.applied_at)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(over, execution_options=OURS).all()
    horizon.move(connection, namespace, ((life, stamp) for _, life, stamp in found))
    for at in range(0, len(found), _MARKED_AT_ONCE):
        ids = [row.id for row in found[at : at + _MARKED_AT_ONCE]]
        # One that was applied again meanwhile stays: it is not among what was written down.
        connection.execute(delete(outbox).where(outbox.c.id.in_(ids), over_at), execution_options=OURS)
    return len(found)


def count(connection: Connection, namespace: str) -> tuple[int, int]:
    """How many rows of the namespace there are: pending, and applied but kept."""
    counted = select(func.count(), func.count(outbox.c.applied_at)).where(outbox.c.namespace == namespace)
    total, applied = connection.execute(counted, execution_options=OURS).one()
    return int(total) - int(applied), int(applied)


__all__ = [
    "OURS",
    "PLAIN_SQL",
    "Row",
    "clock",
    "count",
    "elsewhere",
    "mark",
    "marked_before",
    "outstanding",
    "pending",
    "prune",
    "raise_if_missing",
    "unapplied",
    "write",
]
