"""What users hold of a function under `cached`: call it, and get the value."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from warmer.bypassing import apast_cache, passes, past_cache
from warmer.driving import Steps, adrive, drive
from warmer.entry import Entry
from warmer.errors import NotACall, show
from warmer.handle import Handle
from warmer.invalidation import invalidate_query, invalidate_where
from warmer.reading import JOINING, Missed, Reading, Seen
from warmer.runtime.batches import Batch
from warmer.runtime.contract import Outcome
from warmer.runtime.modes import past
from warmer.store.scripts import packed_get
from warmer.writing import Writing

if TYPE_CHECKING:
    from warmer.runs import Run
    from warmer.runtime.handover import Handover
    from warmer.runtime.process import Runtime

P = ParamSpec("P")
R = TypeVar("R")


class Query(Generic[P, R]):
    """A query under `@warmer.cached(...)`: call it and get the value, from the cache or loaded."""

    def __init__(self, reading: Reading[R]) -> None:
        self._reading = reading
        self._key_from = reading.keys.key_from
        self._near = bool(reading.options.near_s)
        self.__name__ = getattr(reading.fn, "__name__", reading.name)
        self.__qualname__ = getattr(reading.fn, "__qualname__", reading.name)
        self.__doc__ = reading.fn.__doc__
        self.__module__ = reading.fn.__module__
        self.__wrapped__ = reading.fn

    def __repr__(self) -> str:
        """The query's name."""
        return f"<query {self.name}>"

    @property
    def name(self) -> str:
        """The query's name, and its Celery task's."""
        return self._reading.name

    @property
    def fn(self) -> Callable[P, R]:
        """The function itself, uncached, with its resources opened for the call."""
        reading = self._reading

        def uncached(*args: P.args, **kwargs: P.kwargs) -> R:
            params = reading.params(reading.keys.key_from(args, kwargs)[1])
            return cast("R", reading.call(params))

        return uncached

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value: from the cache if it may be served, else loaded once for all who ask.

        Raises ParamError (nothing was read), LoadFailed, LoadTimeout, WaitTimeout, TooManyLoads, CacheMiss.
        """
        # What `bind(...).get()` does, without what is not wanted of it: this is the path of every hit.
        reading = self._reading
        key, canonical = self._key_from(args, kwargs)
        if self._near:
            return Handle(reading, key, canonical).get()
        if reading.scoped:
            reading.check_identity(canonical)
        if past.get() is not None and passes(reading, canonical):
            return past_cache(reading, key, canonical, reading.options.miss).value
        runtime = reading.runtime_of()
        seen: Seen | Missed = JOINING
        if not runtime.missing or not reading.may_join(runtime, key):
            seen = reading.hit(runtime, key, canonical, *runtime.store.fetch(key, reading.joins))
        if not isinstance(seen, Missed):
            value: R = seen[0]
            return value
        handle = Handle(reading, key, canonical)
        if seen is JOINING and (crowd := runtime.crowds.find(key)) is not None:
            return handle._read_with(crowd, runtime, None).value
        on = handle._read_on(runtime, seen, reading.options.miss)
        return drive(runtime, on, reading.name, "aget").value

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """A typed handle on one entry."""
        return Handle(self._reading, *self._key_from(args, kwargs))

    def read(self, *args: P.args, **kwargs: P.kwargs) -> Entry[R]:
        """The value with its age and state, read through."""
        return Handle(self._reading, *self._key_from(args, kwargs)).read()

    async def aget(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value, from asyncio."""
        reading = self._reading
        key, canonical = self._key_from(args, kwargs)
        if self._near:
            return await Handle(reading, key, canonical).aget()
        if reading.scoped:
            reading.check_identity(canonical)
        if past.get() is not None and passes(reading, canonical):
            return (await apast_cache(reading, key, canonical, reading.options.miss)).value
        runtime = reading.runtime_of()
        seen: Seen | Missed = JOINING
        if not runtime.missing or not reading.may_join(runtime, key):
            # `Runtime.afetch`, written out: a coroutine less for every read.
            reply, life = await runtime.lines.call(packed_get(key))
            if type(reply) is not bytes:
                reply, life = runtime.store.found((reply, life))
            seen = reading.hit(runtime, key, canonical, reply, life)
        if not isinstance(seen, Missed):
            value: R = seen[0]
            return value
        handle = Handle(reading, key, canonical)
        if seen is JOINING:
            return (await handle._aread_with(runtime, None)).value
        return (await adrive(runtime, handle._read_on(runtime, seen, reading.options.miss))).value

    async def aread(self, *args: P.args, **kwargs: P.kwargs) -> Entry[R]:
        """The value with its age and state, from asyncio."""
        return await Handle(self._reading, *self._key_from(args, kwargs)).aread()

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Load the entry anew, now."""
        return self.bind(*args, **kwargs).refresh()

    async def arefresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """`refresh`, from asyncio."""
        return await self.bind(*args, **kwargs).arefresh()

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """Drop one entry, in every version of the query; how many values went."""
        return self.bind(*args, **kwargs).invalidate()

    async def ainvalidate(self, *args: P.args, **kwargs: P.kwargs) -> int:
        """`invalidate`, from asyncio."""
        return await self.bind(*args, **kwargs).ainvalidate()

    def put(self, value: R, *args: P.args, **kwargs: P.kwargs) -> None:
        """The value that a load of an entry would give once the tracked transaction open here is committed.

        It is stored then, after the transaction's changes are applied, if nobody else has written since the
        transaction began; else the entry is only invalidated. Does no I/O, in asyncio either.
        Raises ResultNotStorable, ResultTooLarge, NothingToPut where no tracked transaction is open, and
        PutUnclear where several are.
        """
        self.bind(*args, **kwargs).put(value)

    def writing(self, *args: P.args, **kwargs: P.kwargs) -> Writing[R]:
        """A write of what an entry is loaded from, whose new value can be put: see `warmer.writing`."""
        return self.bind(*args, **kwargs).writing()

    def invalidate_where(self, **some: Any) -> int:
        """Drop every entry with these values for these params; how many went."""
        return invalidate_where(self._reading.runtime_of(), self._reading, some)

    async def ainvalidate_where(self, **some: Any) -> int:
        """`invalidate_where`, from asyncio."""
        return await self._reading.runtime_of().on_thread(lambda: self.invalidate_where(**some))

    def invalidate_all(self) -> int:
        """Drop every entry of the query; how many went."""
        return invalidate_query(self._reading.runtime_of(), self._reading)

    async def ainvalidate_all(self) -> int:
        """`invalidate_all`, from asyncio."""
        return await self._reading.runtime_of().on_thread(self.invalidate_all)

    def get_many(self, calls: Iterable[Any]) -> list[R]:
        """The values of many entries, in the order given: one round trip, and the misses loaded side by side.

        calls: handles, tuples of positional arguments, or mappings of params.
        """
        handles = self._handles(calls)
        if past.get() is not None and any(passes(self._reading, handle._args) for handle in handles):
            return [handle.get() for handle in handles]
        runtime = self._reading.runtime_of()
        return drive(runtime, self._many(runtime, handles), self._reading.name, "aget_many")

    async def aget_many(self, calls: Iterable[Any]) -> list[R]:
        """`get_many`, from asyncio."""
        handles = self._handles(calls)
        if past.get() is not None and any(passes(self._reading, handle._args) for handle in handles):
            return [await handle.aget() for handle in handles]
        runtime = self._reading.runtime_of()
        return await adrive(runtime, self._many(runtime, handles))

    def warm(self, calls: Iterable[Any]) -> Run:
        """Queue a run that loads these entries in workers; see `get_many` for the forms."""
        from warmer.runs import start_run

        return start_run(self._reading.runtime_of(), f"by hand: {self.name}", self._handles(calls))

    def _many(self, runtime: Runtime, handles: list[Handle[R]]) -> Steps[list[R]]:
        """The values of many entries; what is missing is loaded side by side."""
        reading = self._reading
        found = yield from reading.peeking(runtime, [(handle._key, handle._args) for handle in handles])
        values: list[Any] = [None if isinstance(seen, Missed) else seen[0] for seen in found]
        missed: dict[int, Missed] = {}
        for at, seen in enumerate(found):
            if isinstance(seen, Missed) and seen.stale is not None and reading.options.miss == "raise":
                values[at] = seen.stale[0]
            elif isinstance(seen, Missed):
                missed[at] = seen
        wishes = {
            at: reading.wish(runtime, handles[at]._key, handles[at]._args, m, reading.options.miss)
            for at, m in missed.items()
        }
        if reading.batch is not None and len(wishes) > 1 and reading.options.miss == "load":
            batch = Batch(runtime, reading, len(wishes))
            for _, _, reader in wishes.values():
                reader.batch = batch
        waits: dict[int, Handover[Outcome]] = {}
        began = time.monotonic()
        try:
            for at, wish in wishes.items():
                waits[at] = runtime.join(reading, *wish)
            for at, future in waits.items():
                handle = handles[at]
                outcome = yield reading.wait_for(future, missed[at], time.monotonic() - began)
                waited_s, stale = time.monotonic() - began, missed[at].stale
                got = reading.settle(runtime, handle._key, handle._args, outcome, waited_s, stale)
                if isinstance(got, Missed):
                    got = yield from handle._read_on(runtime, got, reading.options.miss)
                values[at] = got.value
        finally:
            for future in waits.values():
                future.cancel()  # where one has failed or the reader has gone, nobody waits for the rest
        return values

    def _handles(self, calls: Iterable[Any]) -> list[Handle[R]]:
        if isinstance(calls, (str, bytes, Mapping)):
            raise NotACall(self.name, show(calls))
        handles = [self._handle(call) for call in calls]
        if self._reading.scoped:
            for handle in handles:
                self._reading.check_identity(handle._args)
        return handles

    def _handle(self, call: Any) -> Handle[R]:
        if isinstance(call, Handle) and call._reading is self._reading:
            return call
        if isinstance(call, Mapping):
            return Handle(self._reading, *self._key_from((), dict(call)))
        if isinstance(call, (tuple, list)):
            return Handle(self._reading, *self._key_from(tuple(call), {}))
        raise NotACall(self.name, show(call))


class AsyncQuery(Query[P, R]):
    """A query whose function is `async def`: calling it gives a coroutine, as one would expect."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
        """The value, when awaited."""
        return self.aget(*args, **kwargs)

    @property
    def fn(self) -> Callable[P, Coroutine[Any, Any, R]]:  # type: ignore[override]
        """The function itself, uncached, with its resources opened for the call."""
        return cast("Callable[P, Coroutine[Any, Any, R]]", super().fn)
