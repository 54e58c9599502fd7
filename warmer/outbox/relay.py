"""The relay: applies what writers have left in the outbox, and takes rows whose replay window is over.

Any number of relays may run. One that dies between applying and marking leaves rows that are applied again,
which does no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from warmer.outbox import horizon, rows
from warmer.outbox.databases import Database
from warmer.outbox.elsewhere import DRIFT, SET_BY_S, Elsewhere, age_of, present
from warmer.outbox.settling import settle
from warmer.outbox.trust import Trust
from warmer.strict.resolving import Resolver

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

#: Rows a look; a full one is followed by another.
BATCH = 500
#: A writer marks its own rows within this after it has applied them.
MARKED_WITHIN_S = 2.0
PRUNE_EVERY_S = 60.0


class Relay:
    """What one relay remembers between its steps.

    hold_s: how long a row is left to its writer, from when this relay first saw it; by default as long as
    that one may take.
    """

    def __init__(self, namespace: Warmer, hold_s: float | None = None) -> None:
        self._namespace = namespace
        self._hold_s = namespace.settings.invalidate_timeout + MARKED_WITHIN_S if hold_s is None else hold_s
        self._seen: dict[Database, dict[int, float]] = {}
        self._prune_at = 0.0
        self._resolver = Resolver(namespace, self._hold_s)
        through = namespace.settings.invalidate_through == "outbox"
        #: What is marked with another life of the server: trust looks for it in its own way.
        self._marked: Trust | Elsewhere = Trust(namespace) if through else Elsewhere(namespace)

    def step(self) -> int:
        """Apply what is pending in every database that is known; how many rows that were.

        Raises DatabaseUnreachable, OutboxMissing, ServerError: nothing is lost, the next step tries again.
        """
        applied = 0
        for database in self._namespace.outbox.databases():
            if not database.reachable:
                continue
            while True:
                done, full = database.run(partial(self._look, database))
                applied += done
                if not full:
                    break
        applied += self._marked.step()
        # When nothing is left that is marked with another life: what is taken, nobody can apply.
        if time.monotonic() >= self._prune_at and self._marked.done:
            self._prune()
            self._prune_at = time.monotonic() + PRUNE_EVERY_S
        self._resolver.step()
        return applied

    def _look(self, database: Database, connection: Connection) -> tuple[int, bool]:
        """Apply one batch; how many rows, and whether there may be more at once."""
        found = rows.pending(connection, self._namespace.namespace, BATCH)
        ripe = self._ripe(self._seen.setdefault(database, {}), found)
        changes, ids = rows.merged(ripe)
        if not ids:
            return 0, False
        applying = self._namespace.outbox.applying(changes)
        applying.run()
        self._namespace.outbox.replicated(applying)
        settled = settle(self._namespace.runtime().store, applying.lives)
        if settled is None:  # the server's life has changed under it: once more, in the new one
            return 0, False
        rows.mark(connection, ids, settled)
        self._namespace.runtime().counts.add("outbox_rows_relayed", len(ids))
        return len(ids), len(found) == BATCH

    def _ripe(self, seen: dict[int, float], found: Sequence[rows.Row]) -> list[rows.Row]:
        """Those that nobody means to apply, and those that their writers had time enough for."""
        now, ripe = time.monotonic(), []
        there: dict[int, float] = {}
        for row in found:
            since = there[row.id] = seen.get(row.id, now)
            if not row.own or now - since >= self._hold_s:
                ripe.append(row)
        seen.clear()
        seen.update(there)
        return ripe

    def _prune(self) -> None:
        name, keep_s = self._namespace.namespace, self._namespace.settings.replay_window
        lives = present(self._namespace.runtime().store)
        age_s = age_of(self._namespace.runtime().store, lives)
        lasted = age_s is not None and age_s - age_s / DRIFT - SET_BY_S > keep_s
        for database in self._namespace.outbox.databases():
            if database.reachable:
                database.run(partial(rows.prune, namespace=name, keep_s=keep_s))
                if lasted:
                    database.run(partial(horizon.rest_on, namespace=name, life=lives.current))
