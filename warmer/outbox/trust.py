"""Trust that returns: after a restart or failover, entries of the life before are served again.

Not before all that the server's data lacks has been applied to it: every row of the outbox that is committed
when the pass over it begins is applied in this life, if it is not known to be in the data. What is committed
later its writer, or the relay, applies in this life anyway, to these entries too. See
docs/explanation/invalidation.md for why that is enough, and what else must hold.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from warmer.core.keyspace import keyspace
from warmer.outbox import horizon, rows, through
from warmer.outbox.elsewhere import Elsewhere, present
from warmer.outbox.lives import Lives
from warmer.outbox.settling import settle

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.outbox.databases import Database
    from warmer.store.scripts import Argument

log = logging.getLogger("warmer")

#: Rows a look, and about so many entries a script: neither holds others up. A step goes on for about so long.
BATCH, CHUNK, STEP_S = 500, 200, 0.2
#: No row has such an id; those of rows that triggers write are negative.
BEFORE_ALL: Final = -(2**63)


@dataclass(slots=True)
class _Pass:
    """One way through the outbox, then through the entries, for one life of the server.

    after: rows up to this id are applied in it. left: indexes whose entries are not adopted yet; None: it has
    not come to them.
    """

    life: str
    after: int = BEFORE_ALL
    applied: bool = False
    unreadable: int = 0
    left: list[tuple[int, bytes]] | None = None
    cursor: bytes = b"0"
    adopted: int = 0
    began: float = field(default_factory=time.monotonic)


class Trust:
    """What one relay remembers of it. Any number of them may do the same work, and die at any point of it."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace
        self._pass: _Pass | None = None
        self._warned = False
        #: Whether the last step has left no row that is marked, and lacking, in the present life.
        self.done = False
        self._elsewhere = Elsewhere(namespace)

    def step(self) -> int:
        """A bounded part of what is to be done; how many rows were applied.

        Raises DatabaseUnreachable, OutboxMissing, OutboxOutdated, NotOneOutbox, ServerError.
        """
        found = self._namespace.outbox.databases()
        self.done = False
        if len(found) != 1 or not found[0].reachable:
            if not self._warned:
                log.warning("no entry outlives a restart of Redis: that needs one database with an outbox")
            self._warned = self.done = True
            return 0
        database, store = found[0], self._namespace.runtime().store
        token = database.run(partial(through.begin, namespace=self._namespace.namespace))
        through.tell(store, token)
        lives = present(store)
        if lives.trust:
            self._pass = None
            applied = self._elsewhere.apply(database, lives, lives.lacks())
            self.done = True
            return applied
        if self._pass is None or self._pass.life != lives.current:
            self._pass = _Pass(lives.current)
        why = self._doubt(database, lives, token, self._pass)
        if why:
            self._decide(lives, f"denied: {why}")
            return 0
        return self._go_on(database, lives, self._pass)

    def _doubt(self, database: Database, lives: Lives, token: str, way: _Pass) -> str:
        """Why the entries of the life before can't be trusted; "" if nothing speaks against it so far."""
        store, name = self._namespace.runtime().store, self._namespace.namespace
        if not lives.earlier:
            return "there was none before"
        if lives.through != token:
            return "what was invalidated before need not be in the outbox"
        if not lives.forward:
            return "the clock of the server is behind its data"
        if way.unreadable:
            return f"{way.unreadable} rows of the outbox can't be read by this release"
        if b"cluster_enabled:1" in store.command("INFO", "cluster"):
            return "on a cluster, each node has data of its own"
        base = database.run(partial(horizon.base, namespace=name))
        taken = database.run(partial(horizon.read, namespace=name))
        if (base and base not in lives.past) or not all(lives.has(*one) for one in taken.items()):
            return "its data is older than the replay window"
        return ""

    def _go_on(self, database: Database, lives: Lives, way: _Pass) -> int:
        applied, until_s = 0, time.monotonic() + STEP_S
        while not way.applied:
            look = partial(rows.outstanding, lacks=lives.lacks(), after=way.after, most=BATCH)
            found = self._read(database, look)
            if not self._apply(database, lives, found, way):
                self._pass = None  # the life has changed: all over
                return applied
            applied += len(found)
            way.after = found[-1].id if found else way.after
            way.applied = len(found) < BATCH
            if time.monotonic() >= until_s:
                return applied
        # Before anything is adopted, the next step looks again at what speaks against it: rows may have gone.
        if way.left is not None:
            self._adopt(lives, way)
        elif self._finished():
            way.left = self._indexes()
        return applied

    def _read(self, database: Database, look: partial[Sequence[rows.Row]]) -> Sequence[rows.Row]:
        return database.run(lambda connection: look(connection, self._namespace.namespace))

    def _apply(self, database: Database, lives: Lives, found: Sequence[rows.Row], way: _Pass) -> bool:
        """Apply these in the present life, and mark them so; whether it still was that one."""
        changes, ids = rows.merged(found)
        way.unreadable += len(found) - len(ids)
        if not ids:
            return True
        applying = self._namespace.outbox.applying(changes)
        applying.run()
        settled = settle(self._namespace.runtime().store, applying.lives)
        if settled is None or settled.life != lives.current:
            return False
        database.run(partial(rows.mark, ids=ids, settled=settled, again=True))
        self._namespace.runtime().counts.add("outbox_rows_replayed", len(ids))
        return True

    def _finished(self) -> bool:
        """Whether every invalidation is, that was begun before all had to go through the outbox."""
        store = self._namespace.runtime().store
        keys = [keyspace(store.namespace, shard).unfinished for shard in range(store.settings.shards)]
        return not any(store.command("EXISTS", key) for key in keys)

    def _indexes(self) -> list[tuple[int, bytes]]:
        """(shard, query as its index is named), without strict queries: barriers are none of the outbox's."""
        store = self._namespace.runtime().store
        told = store.command("HKEYS", keyspace(store.namespace, 0).strict)
        strict = {name.removeprefix(b"!q:").rpartition(b"#")[0] for name in told}
        return [
            (shard, query)
            for shard in range(store.settings.shards)
            for query in sorted(store.command("SMEMBERS", keyspace(store.namespace, shard).queries))
            if query not in strict
        ]

    def _adopt(self, lives: Lives, way: _Pass) -> None:
        store, left, until_s = self._namespace.runtime().store, way.left or [], time.monotonic() + STEP_S
        while left:
            shard, query = left[0]
            args: list[Argument] = [lives.current, lives.earlier, query, way.cursor, CHUNK]
            reply = store.scripts.run("adopt", store.roots[shard], args)
            if reply[0] == b"other":
                self._pass = None
                return
            way.cursor, way.adopted = reply[2], way.adopted + int(reply[3])
            if int(way.cursor) == 0:
                left.pop(0)
            if left and time.monotonic() >= until_s:
                return
        self._namespace.runtime().counts.add("entries_adopted", way.adopted)
        took_s = time.monotonic() - way.began
        self._decide(lives, f"returned: {way.adopted} entries are served again after {took_s:.1f} s")

    def _decide(self, lives: Lives, what: str) -> None:
        """Write it down, so that nobody does it again in this life."""
        store = self._namespace.runtime().store
        store.command("HSET", keyspace(store.namespace, 0).life, "trust", f"{lives.current} {what}")
        self._pass = None
        if lives.earlier:
            log.info("trust in what Redis had stored before its restart or failover %s", what)


__all__ = ["Trust"]
