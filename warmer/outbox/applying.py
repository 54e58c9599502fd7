"""Applying changes: stamp their names and remove what is under them, in one trip for all shards.

Only after COMMIT, or a reader in between would load the old rows again. The shard that holds the shapes
comes first in the trip: it says whether all of them are known here. If not, the others have done less than
they should, and do it again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from warmer.core.changes import Changes, EntryHit, Hits, PartHit, hits_of
from warmer.core.names import is_owner
from warmer.core.tokens import escape, unescape
from warmer.found.outcomes import of_changes
from warmer.outbox.since import Since
from warmer.store.operations import CHUNK, FENCE_AGE_US, FENCE_NAMES, STAMPED, chunks
from warmer.store.removing import Batch, remove_indexed, remove_listed
from warmer.store.replicas import await_replicas
from warmer.store.scripts import Argument, Call
from warmer.store.unfinished import Unfinished

if TYPE_CHECKING:
    from warmer.puts import Put
    from warmer.runtime.process import Runtime

#: In place of the identity of an outbox: it was begun when nobody had said that all go through one.
BEGUN_BEFORE = "+"
_MOST_LOOKS = 5
#: Members that each shard removes in the trip that stamps: together about as many as one call may, or these.
_FEWEST = 4


class Applying:
    """One application of changes.

    stale_us: `stale_after_write` of the queries that have one, by name. timeout_s: for all of it; by default
    each step has `invalidate_timeout` of its own. unfinished: its record, if it is not in an outbox. via: the
    identity of the database whose outbox has it; BEGUN_BEFORE for what somebody else has begun.
    """

    def __init__(
        self,
        runtime: Runtime,
        changes: Changes,
        stale_us: Mapping[str, int],
        *,
        timeout_s: float | None = None,
        unfinished: Unfinished | None = None,
        via: str = "",
    ) -> None:
        self._runtime, self._store, self._changes = runtime, runtime.store, changes
        self._stale = {escape(query): us for query, us in stale_us.items()}
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._unfinished = unfinished
        self._via = via
        self._hits = Hits((), ())
        self._entries = sorted(changes.entries, key=lambda hit: (hit.shard, hit.name))
        #: The first stamp that each shard gave: what is older goes.
        self._puts: list[Put] = []
        self._since: list[Since] = []
        self._stamps = [0] * self._store.settings.shards
        self.removed = 0
        #: The lives of the server in which any of it was done, or asked: one, unless it changed meanwhile.
        self.lives: set[bytes] = set()

    def storing(self, puts: Sequence[Put], writes: Iterable[Since]) -> Self:
        """These values belong to the changes, and what it applies is these open writes' own, too.

        Each is looked at before its names are stamped. Afterwards the values may be settled.
        """
        self._puts = list(puts)
        self._since = [*(put.since for put in puts), *writes]
        put_by = {(put.hit.shard, put.hit.name) for put in puts}
        self._entries = [hit for hit in self._entries if (hit.shard, hit.name) not in put_by]
        return self

    def run(self) -> int:
        """Apply them; how many values went.

        Raises InvalidationUnconfirmed when the time is over (it may be applied in part: do it again), and
        ServerError when the server refuses. Doing it twice does no harm.
        """
        try:
            self.apply()
        except BaseException:
            self._runtime.near.drop_all()  # what of it the server has done, or is about to do, is not known
            raise
        self._runtime.near.doubt()
        self._runtime.counts.add("invalidations")
        self._runtime.outcomes.note(of_changes(self._changes), self.removed)
        self._runtime.purge(self._names())
        return self.removed

    def apply(self) -> int:
        """`run`, without what it comes to in this process and in shared HTTP caches."""
        with self._store.scripts.seeing() as lives:
            self._apply()
        self.lives = lives
        return self.removed

    def _apply(self) -> None:
        left = self._stamp_all()
        self.removed += remove_listed(self._store, self._stamps, left, self._stale_us, self._confirmed)
        for query in self._hits.queries:
            self._query(query, None)
        for query in {part.query for part in self._changes.parts} - set(self._hits.queries):
            self._query(query, [part for part in self._changes.parts if part.query == query])
        for puts in chunks(self._puts, CHUNK):
            self._ask(puts)
        if self._unfinished is not None and self._unfinished.at:
            self._unfinished.drop()

    def await_replicas(self) -> None:
        """Wait for replicas, as `invalidate_replicas` asks. Raises InvalidationNotReplicated, ServerError."""
        await_replicas(self._store, self._names())

    def _names(self) -> tuple[str, ...]:
        """What an error or a purge names."""
        return (*self._hits.names, *(entry.name for entry in self._changes.entries))

    # -- stamping

    def _stamp_all(self) -> list[tuple[int, str]]:
        """Stamp every name in every shard, and remove small lists; (shard, name) of those that are left."""
        left = self._with_all_shapes() if self._changes.rows else self._first(None) or []
        for names in chunks(self._hits.names[STAMPED:], STAMPED):
            left += self._trip(names, None) or []
        while self._entries:
            self._trip((), None)
        return left

    def _with_all_shapes(self) -> list[tuple[int, str]]:
        """The first trip, once every shape that is registered is known here."""
        shapes = self._runtime.shapes
        for _ in range(_MOST_LOOKS):
            if not shapes.counted:
                self._confirmed((), shapes.fetch)
            left = self._first(shapes.known)  # counted before they are read: another thread may learn more
            if left is not None and shapes.counted:
                return left  # else the server was restarted under the call: the count was of its earlier life
            self._confirmed((), shapes.fetch)
        # They are registered faster than they are read. Any table that has one is named whole.
        self._changes.rows.update(dict.fromkeys(self._changes.rows))
        return self._first(None) or []

    def _first(self, shapes: str | None) -> list[tuple[int, str]] | None:
        self._hits = hits_of(self._changes, self._runtime.shapes.by_table())
        return self._trip(self._hits.names[:STAMPED], shapes)

    def _trip(self, names: Sequence[str], shapes: str | None) -> list[tuple[int, str]] | None:
        """One trip: these names in every shard, and some of the entries.

        Returns (shard, name) of what has members left; None if not just these shapes are registered.
        """
        roots = self._store.roots if names or self._since else []
        entries, self._entries = self._entries[:CHUNK], self._entries[CHUNK:]
        calls = [self._stamping(shard, names, shapes) for shard in range(len(roots))]
        calls += [self._entry(hit) for hit in entries]
        if not calls:
            return []
        beforehand = self._unfinished if self._ahead and not self._more else None
        if beforehand is not None:
            calls.append(beforehand.call_off())  # by now, each shard has a record of what it has left
        hit = (*names, *(entry.name for entry in entries))[:20]
        replies = self._confirmed(hit, lambda: self._store.scripts.run_all(calls))
        if beforehand is not None:
            beforehand.called_off()
        for reply in replies[len(roots) : len(roots) + len(entries)]:
            self.removed += int(reply[2])
        left = [pair for shard in range(len(roots)) for pair in self._stamped(shard, replies[shard])]
        return None if roots and replies[0][0] == b"shapes" else left

    def _stamping(self, shard: int, names: Sequence[str], shapes: str | None) -> Call:
        stale = [part for pair in self._stale.items() for part in pair]
        known = "" if shapes is None or shard else shapes
        most = max(_FEWEST, CHUNK // len(self._store.roots))
        record: list[Argument] = ["", "", 0, 0]
        if self._unfinished is not None:
            record = self._unfinished.arguments(ahead=self._ahead and shard == 0)
        values = [part for one in self._since if one.shard == shard for part in one.arguments()]
        args = [FENCE_NAMES, FENCE_AGE_US, known, most, len(stale), *record, len(values), self._via]
        return Call("apply", self._store.roots[shard], [*args, *stale, *values, *names])

    def _stamped(self, shard: int, reply: Any) -> list[tuple[int, str]]:
        """Take a shard's answer in; what has members left there."""
        if reply[0] == b"shapes":
            return []
        stamp = int(reply[2])
        self._stamps[shard] = self._stamps[shard] or stamp
        self.removed += int(reply[3])
        here = [one for one in self._since if one.shard == shard]
        for one, alone in zip(here, reply[4].decode(), strict=True):
            one.looked(alone=alone == "1", stamp=stamp)
        left = [(shard, name.decode("utf-8", "surrogatepass")) for name in reply[5:]]
        if left and self._unfinished is not None:
            self._unfinished.at.add((shard, self._unfinished.id))
        return left

    @property
    def _more(self) -> bool:
        """Whether it takes more than one trip, however few members there are."""
        return bool(len(self._hits.names) > STAMPED or self._hits.queries or self._changes.parts)

    @property
    def _ahead(self) -> bool:
        """Whether its record must be there beforehand: it may come to an end between two trips, or shards."""
        return self._more or len(self._store.roots) > 1

    def _entry(self, hit: EntryHit) -> Call:
        stale_us = self._stale.get(escape(hit.query), 0)
        args: list[Argument] = [
            hit.name, escape(hit.query), hit.tail, stale_us, escape(hit.version), FENCE_NAMES, FENCE_AGE_US,
            self._via,
        ]  # fmt: skip
        return Call("invalidate", self._store.roots[hit.shard], args)

    def _ask(self, puts: Sequence[Put]) -> None:
        """Invalidate the entries of values that were put, and ask whether these may be stored."""
        calls = [
            put.asking(self._store, self._stale.get(escape(put.hit.query), 0), self._via) for put in puts
        ]
        replies = self._confirmed([put.hit.name for put in puts], lambda: self._store.scripts.run_all(calls))
        for put, reply in zip(puts, replies, strict=True):
            self.removed += int(reply[2])
            put.asked(reply)

    # -- removing

    def _query(self, query: str, parts: Sequence[PartHit] | None) -> None:
        """Remove from a query's index: all of it, or what one of the parts wants."""
        stale_us = self._stale.get(escape(query), 0)

        def batches(shard: int, page: list[str]) -> list[Batch]:
            return [Batch(stale_us, page if parts is None else self._wanted(shard, page, parts))]

        self.removed += remove_indexed(self._store, self._stamps, query, batches, self._confirmed)

    def _wanted(self, shard: int, page: Iterable[str], parts: Sequence[PartHit]) -> list[str]:
        digested = [member for member in page if ":#" in member]
        known = self._confirmed((), functools.partial(self._store.params_of, shard, digested))
        hit = []
        for member in page:
            tokens = known.get(member) if ":#" in member else member.partition(":")[2]
            version = unescape(member.partition("@")[2].partition(":")[0])
            # Another version's params, and a digest whose params are gone, can't be told apart.
            if tokens is None or any(part.version != version or part.wants(tokens) for part in parts):
                hit.append(member)
        return hit

    def _stale_us(self, name: str, query: str) -> int:
        """Of an owner nothing may be served any more, whatever its query says."""
        return 0 if is_owner(name) else self._stale.get(query, 0)

    def _confirmed(self, names: Sequence[str], step: Callable[[], Any]) -> Any:
        """Repeat an idempotent step until the server has answered, or the time is over."""

        def once() -> Any:
            if self._unfinished is not None:
                self._unfinished.carry_on()
            return step()

        return self._store.confirmed(tuple(names) or self._names()[:20], once, self._deadline)
