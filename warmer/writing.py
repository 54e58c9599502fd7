"""Write-through: a writer that has the new value at hand stores it, unless somebody else wrote meanwhile.

The stamp is taken before the write. At the end the entry is invalidated, as after every write, and the value
is committed under a lease of its own: not if any name of the entry was stamped in between by another, because
then nobody knows which of two writes the database did last. So the later writer's value or none is there,
never the earlier one's. In a tracked transaction that is still open at the end, this waits for its COMMIT.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from warmer.core.changes import Changes
from warmer.errors import NothingToPut, ServerError
from warmer.invalidation import invalidate_entry
from warmer.outbox.since import Since, Watch, watch
from warmer.puts import Put, began_us, note, transactions
from warmer.store.replicas import await_replicas

if TYPE_CHECKING:
    from warmer.outbox.pending import Pending
    from warmer.reading import Args, Reading

R = TypeVar("R")


class Writing(Generic[R]):
    """One write of what an entry is loaded from: `with query.writing(...) as writing:`, or `async with`.

    Write and commit inside the block, then `put` the new value. Whatever happens in it, the entry is
    invalidated at its end.
    """

    def __init__(self, reading: Reading[R], args: Args) -> None:
        self._reading, self._args = reading, args
        self._watch: Watch | None = None
        self._value: tuple[int, bytes] | None = None
        self._put: Put | None = None

    @property
    def stored(self) -> bool:
        """Whether what was put is stored: after the block, or after the transaction that the block was in."""
        return self._put is not None and self._put.stored

    def put(self, value: R) -> None:
        """The value that a load would give from now on; the last one counts.

        Raises ResultNotStorable, ResultTooLarge, and NothingToPut outside of the block.
        """
        if self._watch is None:
            raise NothingToPut(self._reading.name)
        reading = self._reading
        self._value = reading.encode(value, reading.entry(self._args), reading.params(self._args))
        self._watch.put_at = time.monotonic()

    def __enter__(self) -> Self:
        """Take the stamp. With Redis away, the value will not be stored, and the end has to tell."""
        watch(self._begin())
        return self

    def _begin(self) -> Watch:
        reading, runtime = self._reading, self._reading.runtime_of()
        reading.check_identity(self._args)
        self._value = self._put = None
        entry, stamp = reading.entry(self._args), 0
        try:
            runtime.shapes.register()
            stamp = runtime.store.stamp_now(entry)
            runtime.shapes.register()  # as for a lease: see Flight
        except ServerError as exc:
            note(reading, exc)
        names = reading.names_of(reading.params(self._args), entry).all()
        since = Since(entry.shard, names, stamp)
        self._watch = Watch(runtime.store.namespace, since, time.monotonic())
        return self._watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Invalidate, and store what was put. Raises InvalidationUnconfirmed; added to an error as a note."""
        watched, self._watch = self._watch, None
        if watched is None:
            return
        watched.over = True
        if error is None:
            self._end(watched)
            return
        self._value = None  # what the write came to is not known
        try:
            self._end(watched)
        except ServerError as exc:
            error.add_note(f"and the entry it was about may be stale: {exc}")

    async def __aenter__(self) -> Self:
        """`with`, from asyncio."""
        watch(await self._reading.runtime_of().on_thread(self._begin))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The end of the block, from asyncio."""
        await self._reading.runtime_of().on_thread(self.__exit__, kind, error, trace)

    def _end(self, watched: Watch) -> None:
        reading = self._reading
        around = transactions(reading.runtime_of())
        # What an automatic query depends on is known by a load, and here there was none. And of several
        # transactions nobody knows which one the value is of.
        if self._value is None or reading.dependencies.auto or len(around) > 1:
            invalidate_entry(reading.runtime_of(), reading, self._args)
            return
        self._put = Put(reading, self._args, self._value, watched.since)
        if around:
            self._hand_over(around[0], self._put, watched)
        else:
            self._invalidate(self._put)
            self._put.settle(reading.runtime_of())
            await_replicas(reading.runtime_of().store, watched.since.names[:1])

    def _hand_over(self, pending: Pending, put: Put, watched: Watch) -> None:
        """Have an open transaction store it, once it is committed."""
        if pending.began is None or pending.began.at <= watched.began:
            # What was read in it may be older than the block.
            stamp, clock_us = began_us(self._reading.runtime_of(), pending)
            if stamp < put.since.stamp:
                put.since.stamp, put.since.clock_us = stamp, clock_us
        if not pending.wrote:
            # The write may have been another's, and is committed already.
            self._invalidate(put)
            put.renew(self._reading.runtime_of())
        pending.put(put)

    def _invalidate(self, put: Put) -> None:
        """Now, and ask whether it may be stored."""
        runtime, name = self._reading.runtime_of(), put.since.names[0]
        if runtime.through is not None:
            runtime.through(Changes(entries={put.hit}), [put])
            return
        call = put.asking(runtime.store, self._reading.options.stale_us)
        runtime.counts.add("invalidations")
        try:
            put.asked(runtime.store.confirmed((name,), lambda: runtime.store.scripts.run_all([call]))[0])
        finally:
            runtime.near.drop((put.entry.key.encode(),))
        runtime.purge([name])
