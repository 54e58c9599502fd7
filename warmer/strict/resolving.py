"""What a process with the database sees to: barriers that were left up, and strict queries not in force yet.

A barrier comes down when the database says that its transaction is over, and what that left in the outbox is
applied. A strict query comes into force when every writer that is alive knows of it (twice KNOWN_S after it
was registered in this life of the server: some may have talked to the server that was before), and every
transaction that was open then is over: whatever is committed from then on has barred it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from warmer.core.changes import Changes
from warmer.core.keyspace import keyspace
from warmer.errors import DatabaseUnreachable, OutboxMissing
from warmer.outbox import rows
from warmer.outbox.databases import Database
from warmer.outbox.settling import settle
from warmer.store.scripts import Call
from warmer.strict import outcomes
from warmer.strict.barriers import Barrier, Barriers
from warmer.strict.forgetting import forget_unused
from warmer.strict.registry import KNOWN_S, Survey

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

#: Until everybody knows: a writer's knowledge is at most KNOWN_S old, and its connection leaves a server that
#: is not the primary any more within 3 s.
KNOWN_BY_ALL_US = round(2 * KNOWN_S * 1e6)


@dataclass(frozen=True, slots=True)
class _Note:
    """Queries that everybody knew of in this life, and a transaction that began later.

    life: of the server, and when each shard's record of it was made: FLUSHALL, too, loses barriers.
    """

    life: tuple[bytes, ...]
    names: frozenset[str]
    coming: int


class Resolver:
    """What one process remembers between its looks. hold_s: how long a barrier is left to its writer.

    left: tokens of those that this process has left itself, and need not wait for.
    """

    def __init__(self, namespace: Warmer, hold_s: float, left: Collection[str] = ()) -> None:
        self._namespace, self._hold_us = namespace, round(hold_s * 1e6)
        self._left = left
        self._notes: dict[Database, _Note] = {}

    def step(self) -> bool:
        """See to what can be seen to; whether something is left to wait for.

        Raises ServerError. A database that is away, or busy, is something to wait for.
        """
        runtime = self._namespace.runtime()
        runtime.strict.keep_known()
        if not runtime.strict.is_used:
            return False
        survey = runtime.strict.survey()
        life = (survey.life, *self._sinces()) if survey.waiting else ()
        forget_unused(runtime.store, survey)
        barriers = self._held_over(survey)
        names = frozenset(name for name, age_us in survey.waiting.items() if age_us >= KNOWN_BY_ALL_US)
        quiet, busy = bool(names), False
        databases = [one for one in self._namespace.outbox.databases() if one.reachable]
        for database in databases if barriers or survey.waiting else ():
            try:
                barriers = database.run(partial(self._lower_over, barriers))
                if survey.waiting:
                    database.run(lambda connection: outcomes.note_use(connection, self._namespace.namespace))
                quiet = quiet and database.run(partial(self._is_quiet, database, life, names))
            except (DatabaseUnreachable, OutboxMissing) as exc:
                log.debug("strict queries wait for a database: %s", exc)
                quiet, busy = False, True
        if quiet and databases:
            quiet = self._enforce(life, names)
        return (
            bool(barriers) or busy or (not quiet and bool(survey.waiting)) or names != survey.waiting.keys()
        )

    def _held_over(self, survey: Survey) -> list[Barrier]:
        """The barriers whose writers have had time enough."""
        found = []
        for token, (age_us, record) in survey.barriers.items():
            if age_us >= self._hold_us or token in self._left:
                try:
                    found.append(Barrier.read(token, record))
                except ValueError as exc:
                    log.error("the barrier %s stays up: %s", token, exc)  # noqa: TRY400
        return found

    def _lower_over(self, barriers: list[Barrier], connection: Connection) -> list[Barrier]:
        """Lower what is this database's, and over; what is left."""
        identity = outcomes.identity_of(connection) if barriers else None
        ours = [barrier for barrier in barriers if barrier.database == identity]
        if not ours:
            return barriers
        if connection.dialect.name == "sqlite":
            outcomes.take_write_lock(connection)
            ended = dict.fromkeys(ours, True)
        else:
            found = {barrier: outcomes.is_over(connection, barrier.transaction) for barrier in ours}
            ended = {barrier: committed for barrier, committed in found.items() if committed is not None}
        runtime = self._namespace.runtime()
        for barrier, committed in ended.items():
            if committed:
                self._apply(connection, barrier.row)
            Barriers(runtime.store, self._namespace.settings.strict_max_entries).lower(barrier)
            runtime.counts.add("barriers_resolved")
        return [barrier for barrier in barriers if barrier not in ended]

    def _apply(self, connection: Connection, row: int) -> None:
        """What its writer may not have come to: promise 1 is about other queries, too."""
        changes = rows.unapplied(connection, self._namespace.namespace, row)
        if changes is not None:
            applying = self._namespace.outbox.applying(Changes.read(changes))
            applying.run()
            settled = settle(self._namespace.runtime().store, applying.lives)
            if settled is not None:
                rows.mark(connection, [row], settled)

    def _is_quiet(
        self, database: Database, life: tuple[bytes, ...], names: frozenset[str], connection: Connection
    ) -> bool:
        """Whether every transaction that may not know of these queries is over."""
        if connection.dialect.name == "sqlite":
            outcomes.take_write_lock(connection)
            return True
        if connection.dialect.name != "postgresql":
            return True  # whoever changes what is strict there is refused
        oldest, coming = outcomes.open_transactions(connection)
        note = self._notes.get(database)
        if note is None or note.life != life or not names <= note.names:
            note = self._notes[database] = _Note(life, names, coming)
        return oldest >= note.coming

    def _sinces(self) -> list[bytes]:
        """When each shard's record of the server's life was made, and something last put out of force there.

        To be asked before anybody is asked what is open.
        """
        store = self._namespace.runtime().store
        keys = [keyspace(store.namespace, shard) for shard in range(len(store.roots))]
        asked = [pair for one in keys for pair in ((one.life, "since"), (one.in_force, "forgot"))]
        found = store.scripts.run_all([Call("", b"", ["HGET", *pair]) for pair in asked])
        return [b" ".join(one or b"" for one in found[at : at + 2]) for at in range(0, len(found), 2)]

    def _enforce(self, life: tuple[bytes, ...], names: frozenset[str]) -> bool:
        """Whether they are in force now. If not, what was seen does not hold any more, or for a new shard."""
        store = self._namespace.runtime().store
        first, *others = [
            Call("enforce", root, [life[0], since, *sorted(names)])
            for root, since in zip(store.roots, life[1:], strict=True)
        ]
        # The first one says whether there is anything left to wait for: it comes last.
        for calls in (others, [first]):
            if any(reply[0] != b"in_force" for reply in store.scripts.run_all(calls)):
                return False
        log.info("%d strict queries are in force", len(names))
        return True
