"""Rows that are marked as applied in another life of the server than the present one, which lacks them.

After a failover the old primary may go on answering, to processes that have not noticed. What they commit in
those seconds they apply there, and the mark says so. A load that began at the new primary before such a
COMMIT has read the row as it was before it, so what it stored must go: the row is applied again. Marks come
late (a writer that was paused), so they are looked for all the time, and not once after the change of life.

Which marks: no load of the present life began before the first script of it. So a row that was marked before
that was committed before each of them, and needs nothing. When that was by the database's clock is computed
from how long it is ago by the server's, as a bound: neither clock is compared with another one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from warmer.core.keyspace import keyspace
from warmer.outbox import rows
from warmer.outbox.lives import Lives, Ranges
from warmer.outbox.settling import settle
from warmer.store.scripts import Call

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.outbox.databases import Database
    from warmer.store.operations import Store

#: Rows a look; a full one is followed by another.
BATCH: Final = 500
#: Between the beginning of a life and a look, a clock may be set by so much, and drift by 1 part in so many.
SET_BY_S: Final = 60.0
DRIFT: Final = 1000
#: Lives of which it is remembered what was marked before. Rows of others are applied again: no harm in that.
MOST_LIVES: Final = 100


def present(store: Store) -> Lives:
    """The lives that the server's data has come through, up to the present one. Raises ServerError."""
    key = keyspace(store.namespace, 0).life
    while True:
        with store.scripts.seeing() as seen:
            flat = store.command("HGETALL", key)
        lives = Lives.read(dict(zip(flat[::2], flat[1::2], strict=True)))
        if {lives.current.encode()} == seen:
            return lives
        settle(store, ())  # the first script of a life records it


def age_of(store: Store, lives: Lives) -> float | None:
    """Seconds since the present life began in any shard, by the server's clock; None if it is over.

    A stamp in place of the time: they are not set back where a clock is. Raises ServerError.
    """
    now = settle(store, ())
    if now is None or now.life != lives.current:
        return None
    keys = [keyspace(store.namespace, shard).life for shard in range(store.settings.shards)]
    told = store.scripts.run_all([Call("", b"", ["HGET", key, f"was:{lives.current}"]) for key in keys])
    return (now.stamp - min(int(at) for at in told if at is not None)) / 1_000_000


@dataclass(slots=True)
class _Present:
    """What is known of one life. lacks: rows marked with others, and not before it began, by database."""

    lives: Lives
    lacks: dict[Database, Ranges] = field(default_factory=dict)


class Elsewhere:
    """What one relay, or one process, remembers of it. Any number of them may do the same work."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace
        self._present: _Present | None = None
        #: Whether the last step has left no such row.
        self.done = False

    def step(self) -> int:
        """Apply what the present life lacks; how many rows that were. In the usual case one query a database.

        Raises DatabaseUnreachable, OutboxMissing, OutboxOutdated, ServerError.
        """
        databases = [one for one in self._namespace.outbox.databases() if one.reachable]
        self.done = not databases
        if not databases:
            return 0
        store, applied = self._namespace.runtime().store, 0
        known = self._present
        if known is None or known.lives.current.encode() != store.connections.life:
            known = self._present = _Present(present(store))
        for database in databases:
            if database not in known.lacks:
                lacks = self._lacked(database, known.lives)
                if lacks is None:
                    self._present = None
                    return applied
                known.lacks[database] = lacks
            applied += self.apply(database, known.lives, known.lacks[database])
        self.done = self._present is not None
        return applied

    def apply(self, database: Database, lives: Lives, lacks: Ranges) -> int:
        """Apply rows that are marked, and lacking, in the present life; how many."""
        applied = 0
        while True:
            done, full = database.run(partial(self._batch, lives, lacks))
            applied += done
            if not full:
                return applied

    def _batch(self, lives: Lives, lacks: Ranges, connection: Connection) -> tuple[int, bool]:
        found = rows.elsewhere(connection, self._namespace.namespace, lacks, BATCH)
        changes, ids = rows.merged(found)
        if not ids:
            return 0, False
        runtime = self._namespace.runtime()
        applying = self._namespace.outbox.applying(changes)
        applying.run()
        settled = settle(runtime.store, applying.lives)
        if settled is None or settled.life != lives.current:
            self._present = None  # it has changed once more: all over, in the new one
            return 0, False
        rows.mark(connection, ids, settled, again=True)
        runtime.counts.add("outbox_rows_replayed", len(ids))
        return len(ids), len(found) == BATCH

    def _lacked(self, database: Database, lives: Lives) -> Ranges | None:
        """What to look for in this life; None if it is over.

        Stamps of one life are given in order, and before their rows are marked. So what has an earlier stamp
        than one that was marked before the life began was committed before it as well, whenever it is marked.
        """
        name = self._namespace.namespace
        at = database.run(rows.clock)  # before the server is asked how long ago that was: a bound
        age_s = age_of(self._namespace.runtime().store, lives)
        if age_s is None:
            return None
        began_at: datetime = at - timedelta(seconds=age_s + age_s / DRIFT + SET_BY_S)
        told = database.run(
            lambda connection: rows.marked_before(connection, name, began_at, lives.current, MOST_LIVES)
        )
        return lives.behind({one: max(stamp, lives.settled.get(one, -1)) for one, stamp in told.items()})


__all__ = ["DRIFT", "SET_BY_S", "Elsewhere", "age_of", "present"]
