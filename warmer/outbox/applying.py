"""Applying changes: stamp their names and remove what is under them, in one trip a shard.

Only after COMMIT, or a reader in between would load the old rows again. The shard that holds the shapes
comes first: it says whether all of them are known here.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from warmer.core.changes import Changes, EntryHit, Hits, PartHit, hits_of
from warmer.core.tokens import escape, unescape
from warmer.errors import InvalidationUnconfirmed, RedisUnreachable, TooManyConnections
from warmer.store.operations import CHUNK, FENCE_AGE_US, FENCE_NAMES, chunks

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

_T = TypeVar("_T")
#: Names a trip. A script stamps so many in well under a millisecond.
_NAMES = 500
_AGAIN_S = 0.02
_MOST_LOOKS = 5


class Applying:
    """One application of changes, within a time.

    stale_us: `stale_after_write` of the queries that have one, by name.
    """

    def __init__(
        self, runtime: Runtime, changes: Changes, stale_us: Mapping[str, int], timeout_s: float
    ) -> None:
        self._runtime, self._store, self._changes = runtime, runtime.store, changes
        self._stale = {escape(query): us for query, us in stale_us.items()}
        self._deadline = time.monotonic() + timeout_s
        self._hits = Hits((), ())
        self.removed = 0
        #: The highest stamp that any shard gave: a snapshot with a higher one knows of it.
        self.stamp = 0

    def run(self) -> int:
        """Apply them; how many values went.

        Raises InvalidationUnconfirmed when the time is over (it may be applied in part: do it again), and
        ServerError when the server refuses. Doing it twice does no harm.
        """
        try:
            self._all()
        except BaseException:
            self._runtime.near.drop_all()  # what of it the server has done, or is about to do, is not known
            raise
        self._runtime.near.doubt()
        self._runtime.counts.add("invalidations")
        self._runtime.purge([*self._hits.names, *(entry.name for entry in self._changes.entries)])
        return self.removed

    def _all(self) -> None:
        stamps = [self._shard(shard) for shard in range(self._store.settings.shards)]
        self.stamp = max(stamps)
        for query in self._hits.queries:
            self._query(query, stamps, None)
        for query in {part.query for part in self._changes.parts} - set(self._hits.queries):
            self._query(query, stamps, [part for part in self._changes.parts if part.query == query])
        for entry in self._changes.entries:
            self._entry(entry)

    def _shard(self, shard: int) -> int:
        """Stamp and remove in one shard; its first stamp, 0 if there was nothing to stamp."""
        stamp, unfinished, done = 0, list[str](), 0
        if shard == 0:
            (stamp, unfinished), done = self._with_all_shapes(), _NAMES
        for names in chunks(self._hits.names[done:], _NAMES):
            at, left = self._trip(shard, names, "")
            stamp, unfinished = stamp or at, [*unfinished, *left]
        for name in unfinished:
            for page in self._store.members(shard, name):
                self._remove(shard, stamp, page, name)
        return stamp

    def _with_all_shapes(self) -> tuple[int, list[str]]:
        """The first trip, once every shape that is registered is known here."""
        shapes = self._runtime.shapes
        for _ in range(_MOST_LOOKS):
            if not shapes.counted:
                self._repeated(shapes.fetch)
            count = shapes.count  # before the shapes: another thread may be learning more
            self._hits = hits_of(self._changes, shapes.by_table())
            reply = self._trip(0, self._hits.names[:_NAMES], str(count))
            if reply[0] and shapes.counted:
                return (
                    reply  # else the server was restarted under the call: the count was of its earlier life
                )
            self._repeated(shapes.fetch)
        # They are registered faster than they are read. Any table that has one is named whole.
        self._changes.rows.update(dict.fromkeys(self._changes.rows))
        self._hits = hits_of(self._changes, shapes.by_table())
        return self._trip(0, self._hits.names[:_NAMES], "")

    def _trip(self, shard: int, names: Sequence[str], shapes: str) -> tuple[int, list[str]]:
        """One script. Its stamp, 0 if there are shapes to learn; and the names that have members left."""
        pairs = [part for pair in self._stale.items() for part in pair]
        args: list[Any] = [FENCE_NAMES, FENCE_AGE_US, shapes, CHUNK, len(pairs), *pairs, *names]
        reply = self._repeated(lambda: self._store.scripts.run("apply", self._store.roots[shard], args))
        if reply[0] == b"shapes":
            return 0, []
        self.removed += int(reply[3])
        return int(reply[2]), [name.decode("utf-8", "surrogatepass") for name in reply[4:]]

    def _query(self, query: str, stamps: Sequence[int], parts: Sequence[PartHit] | None) -> None:
        """Remove from a query's index: all of it, or what one of the parts wants."""
        for shard, stamp in enumerate(stamps):
            for page in self._store.indexed(shard, query):
                hit = page if parts is None else self._wanted(shard, page, parts)
                self._remove(shard, stamp, hit, "")

    def _wanted(self, shard: int, page: list[str], parts: Sequence[PartHit]) -> list[str]:
        known = self._store.params_of(shard, [member for member in page if ":#" in member])
        hit = []
        for member in page:
            tokens = known.get(member) if ":#" in member else member.partition(":")[2]
            version = unescape(member.partition("@")[2].partition(":")[0])
            # Another version's params, and a digest whose params are gone, can't be told apart.
            if tokens is None or any(part.version != version or part.wants(tokens) for part in parts):
                hit.append(member)
        return hit

    def _entry(self, hit: EntryHit) -> None:
        stale_us = self._stale.get(escape(hit.query), 0)
        args: list[Any] = [
            hit.name, escape(hit.query), hit.tail, stale_us, escape(hit.version), FENCE_NAMES, FENCE_AGE_US,
        ]  # fmt: skip
        root = self._store.roots[hit.shard]
        self.removed += int(self._repeated(lambda: self._store.scripts.run("invalidate", root, args))[2])

    def _remove(self, shard: int, stamp: int, members: Iterable[str], name: str) -> None:
        grouped: dict[int, list[str]] = {}
        for member in members:
            stale_us = 0 if name.startswith("o:") else self._stale.get(member.partition("@")[0], 0)
            grouped.setdefault(stale_us, []).append(member)
        for stale_us, some in grouped.items():
            self.removed += self._repeated(
                functools.partial(self._store.remove, shard, stamp, stale_us, name, some)
            )

    def _repeated(self, action: Callable[[], _T]) -> _T:
        """Repeat an idempotent step until the server has answered, or the time is over."""
        while True:
            try:
                return action()
            except (RedisUnreachable, TooManyConnections) as exc:
                if time.monotonic() >= self._deadline:
                    raise InvalidationUnconfirmed(self._hits.names[:20], str(exc)) from exc
                time.sleep(_AGAIN_S)
