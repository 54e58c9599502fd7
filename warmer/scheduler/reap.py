"""Clearing away what is over. Nothing here has a TTL: no eviction may take what still matters.

A step is bounded, goes on where the last one ended, and may be done by several schedulers at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warmer.completion import complete_unfinished
from warmer.core.keys import keyspace
from warmer.core.keyspace import member_lists
from warmer.core.tokens import escape
from warmer.errors import UnknownRun
from warmer.runs.records import Records
from warmer.store.operations import Store

if TYPE_CHECKING:
    from warmer.namespace import Warmer

#: About so many records of a kind a script: it holds the server for about a millisecond.
CHUNK = 100
#: Shards looked at in a step, and keys of the whole server among which lists of members are looked for.
SHARDS_A_STEP, KEYS_A_STEP = 8, 300
#: Entries of a query that no scheduler knows any more are let go when they are overdue by this.
FORGET_QUERY_US = 7 * 86_400_000_000
#: A run is told of for a day after it last moved; what keeps it from feeding twice is needed while it feeds.
FORGET_RUN_US, FORGET_SEEN_US = 86_400_000_000, 600_000_000
RUNS_A_STEP, RUNS_EVERY_S = 100, 60.0
_KINDS = 9


@dataclass(slots=True)
class _Place:
    """Where the last step in a shard ended."""

    cursors: list[bytes] = field(default_factory=lambda: [b"0"] * _KINDS)
    queries: list[bytes] = field(default_factory=list)
    cursor: bytes = b"0"


class Reaper:
    """What one scheduler remembers between its steps."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace
        self._places: dict[int, _Place] = {}
        self._next_shard = 0
        self._scan = b"0"
        self._runs_at = 0.0
        self._unseen: set[str] = set()  # runs whose list of what they fed has been dropped

    def step(self) -> int:
        """Clear away a bounded part; how many records went. Raises ServerError."""
        store = self._namespace.runtime().store
        removed = 0
        for _ in range(min(SHARDS_A_STEP, store.settings.shards)):
            shard, self._next_shard = self._next_shard, (self._next_shard + 1) % store.settings.shards
            place = self._places.setdefault(shard, _Place())
            removed += self._records(store, shard, place) + self._index(store, shard, place)
            complete_unfinished(self._namespace.runtime(), shard)
        removed += self._lists(store)
        if time.monotonic() >= self._runs_at:
            self._runs_at = time.monotonic() + RUNS_EVERY_S
            removed += self._runs(store)
        return removed

    def _records(self, store: Store, shard: int, place: _Place) -> int:
        _, removed, place.cursors = store.scripts.run("reap", store.roots[shard], [CHUNK, *place.cursors])
        return int(removed)

    def _index(self, store: Store, shard: int, place: _Place) -> int:
        if not place.queries:
            place.queries = sorted(store.command("SMEMBERS", keyspace(store.namespace, shard).queries))
        if not place.queries:
            return 0
        query = place.queries[0]
        known = query in {escape(name).encode() for name in self._namespace.readings}
        args: list[Any] = [query, place.cursor, CHUNK, "inf" if known else FORGET_QUERY_US]
        _, place.cursor, removed = store.scripts.run("reap_index", store.roots[shard], args)
        if int(place.cursor) == 0:
            place.queries.pop(0)
        return int(removed)

    def _lists(self, store: Store) -> int:
        """A step through the keys of the server: nobody else comes by the list of a day that is past."""
        pattern = member_lists(store.namespace)
        self._scan, found = store.command("SCAN", self._scan, "MATCH", pattern, "COUNT", KEYS_A_STEP)
        removed = 0
        for root in store.roots:
            lists = [key[len(root) :] for key in found if key.startswith(root)]
            if lists:
                removed += int(store.scripts.run("reap_names", root, [CHUNK // 4, *lists])[1])
        return removed

    def _runs(self, store: Store) -> int:
        records, now = Records(store), round(store.now_us())
        removed = 0
        for run in records.ids_before(now - FORGET_SEEN_US, RUNS_A_STEP):
            try:
                record = records.read(run)
            except UnknownRun:
                records.forget(run, record=True)
                continue
            if max(record.created_at, record.moved_at) < now - FORGET_RUN_US:
                records.forget(run, record=True)
                self._unseen.discard(run)
                removed += 1
            elif record.closed and record.moved_at < now - FORGET_SEEN_US and run not in self._unseen:
                records.forget(run, record=False)
                self._unseen.add(run)
        return removed
