"""Write-through: a writer that has the new value at hand stores it, unless somebody else wrote meanwhile.

The stamp is taken before the write. At the end the entry is invalidated, as after every write, and the value
is committed under a lease of its own: not if any name of the entry was stamped in between, because then
nobody knows which of two writes the database did last. So the later writer's value or none is there, never
the earlier one's.
"""

from __future__ import annotations

import contextlib
import random
import secrets
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from warmer.errors import NothingToPut, ServerError
from warmer.invalidation import invalidate_entry
from warmer.store.operations import Commit, Lease
from warmer.store.replicas import await_replicas

if TYPE_CHECKING:
    from warmer.reading import Args, Reading

R = TypeVar("R")


class Writing(Generic[R]):
    """One write of what an entry is loaded from: `with query.writing(...) as writing:`, or `async with`.

    Write and commit inside the block, then `put` the new value. Whatever happens in it, the entry is
    invalidated at its end. stored: afterwards, whether the value was.
    """

    def __init__(self, reading: Reading[R], args: Args) -> None:
        self.stored = False
        self._reading, self._args = reading, args
        self._since: int | None = None
        self._open = False
        self._value: tuple[int, bytes] | None = None

    def put(self, value: R) -> None:
        """The value that a load would give from now on; the last one counts.

        Raises ResultNotStorable, ResultTooLarge, and NothingToPut outside of the block.
        """
        if not self._open:
            raise NothingToPut(self._reading.name)
        reading = self._reading
        self._value = reading.encode(value, reading.entry(self._args), reading.params(self._args))

    def __enter__(self) -> Self:
        """Take the stamp. With Redis away, the value will not be stored, and the end has to tell."""
        reading = self._reading
        reading.check_identity(self._args)
        self._open, self._value, self.stored = True, None, False
        try:
            runtime = reading.runtime_of()
            runtime.shapes.register()
            self._since = runtime.store.stamp_now(reading.entry(self._args))
            runtime.shapes.register()  # as for a lease: see Flight
        except ServerError as exc:
            self._since = None
            _note(reading, exc)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Invalidate, and store what was put. Raises InvalidationUnconfirmed; added to an error as a note."""
        self._open = False
        if error is None:
            self._end()
            return
        self._value = None  # what the write came to is not known
        try:
            self._end()
        except ServerError as exc:
            error.add_note(f"and the entry it was about may be stale: {exc}")

    async def __aenter__(self) -> Self:
        """`with`, from asyncio."""
        return await self._reading.runtime_of().on_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The end of the block, from asyncio."""
        await self._reading.runtime_of().on_thread(self.__exit__, kind, error, trace)

    def _end(self) -> None:
        # What an automatic query depends on is known by a load, and here there was none.
        if self._value is None or self._since is None or self._reading.dependencies.auto:
            invalidate_entry(self._reading.runtime_of(), self._reading, self._args)
        else:
            self._put(self._since, *self._value)

    def _put(self, since: int, flags: int, payload: bytes) -> None:
        reading, runtime = self._reading, self._reading.runtime_of()
        entry = reading.entry(self._args)
        names = reading.names_of(reading.params(self._args), entry).all()
        token = secrets.token_hex(8)
        runtime.counts.add("invalidations")
        try:
            _, stamp = runtime.store.put(entry, names, reading.options.stale_us, since, token)
            if stamp is not None:
                self.stored = self._commit(Lease(entry, token, stamp), flags, payload)
        finally:
            runtime.near.drop((entry.key.encode(),))
        runtime.counts.add("puts" if self.stored else "puts_overtaken")
        runtime.purge(names[:1])
        await_replicas(runtime.store, names[:1])

    def _commit(self, lease: Lease, flags: int, payload: bytes) -> bool:
        reading, runtime = self._reading, self._reading.runtime_of()
        options, params = reading.options, reading.params(self._args)
        names = reading.names_of(params, lease.entry)
        what = Commit(
            payload=payload, flags=flags, cost_us=0, owner=reading.owner_of(params), ttl_us=options.ttl_us,
            grace_us=options.grace_us, wait_us=-1, early=options.early, draw=random.expovariate(1.0),
            keep=options.keep, idle_us=options.idle_us, max_kept=options.max_kept,
            fence_only=names.fence_only, listed=names.listed,
        )  # fmt: skip
        try:
            return runtime.store.commit(lease, what)[0] == "stored"
        except ServerError as exc:
            # It was invalidated: its readers load it, if nobody holds its lease.
            _note(reading, exc)
            with contextlib.suppress(ServerError):
                runtime.store.release(lease)
            return False


def _note(reading: Reading[Any], exc: ServerError) -> None:
    text = "what is written of %s is not put into the cache: %s"
    reading.runtime_of().incidents.note("puts_failed", text, reading.name, exc, about=reading.name)
