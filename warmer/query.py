"""What users hold: a query (under `cached`), and a typed handle on one of its entries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from warmer.core.keys import EntryKey
from warmer.entry import Entry
from warmer.errors import CorruptEntry, NotACall, show
from warmer.invalidation import invalidate_entry, invalidate_query, invalidate_where
from warmer.reading import Args, Missed, Reading
from warmer.runtime.contract import Outcome, Reader
from warmer.runtime.modes import past
from warmer.writing import Writing

if TYPE_CHECKING:
    from warmer.runs import Run
    from warmer.runtime.process import Runtime

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# A value that can't be read is loaded anew; what can't be read then, either, is no accident.
MOST_TRIES = 3


class Handle(Generic[R]):
    """One entry of a query: where the options of a call go. Made by `query.bind(...)`."""

    __slots__ = ("_args", "_key", "_reading")

    def __init__(self, reading: Reading[R], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._reading = reading
        self._key, self._args = reading.keys.key_from(args, dict(kwargs))

    def __repr__(self) -> str:
        """The call that it stands for."""
        return f"{self.query}({', '.join(f'{k}={show(v)}' for k, v in self.params.items())})"

    def __eq__(self, other: object) -> bool:
        """Whether both stand for one entry."""
        return isinstance(other, Handle) and other._key == self._key

    def __hash__(self) -> int:
        """By key."""
        return hash(self._key)

    @property
    def key(self) -> str:
        """The entry's name in Redis."""
        return self._key.decode()

    @property
    def query(self) -> str:
        """The query's name."""
        return self._reading.name

    @property
    def params(self) -> dict[str, Any]:
        """The canonical params, defaults filled in."""
        return self._reading.params(self._args)

    @property
    def args(self) -> tuple[Any, ...]:
        """The canonical params in the order of the signature."""
        return self._args

    @property
    def entry_key(self) -> EntryKey:
        """The key with all of its parts."""
        return self._reading.entry(self._args)

    def get(self, *, miss: str | None = None) -> R:
        """The value, read through. miss: "load" · "wait" · "raise", in place of the query's own."""
        return self.read(miss=miss).value

    def read(self, *, miss: str | None = None) -> Entry[R]:
        """The value with its age and state, read through."""
        reading = self._reading
        reading.check_identity(self._args)
        if past.get() is not None:
            return _past_cache(reading, self._key, self._args)
        runtime = reading.runtime_of()
        found = reading.peek(runtime, self._key, self._args)
        return found if isinstance(found, Entry) else self._read_on(found, _miss(reading, miss))

    def _read_on(self, missed: Missed, miss: str) -> Entry[R]:
        """Have it loaded, or wait for whoever loads it; what turns out unreadable is loaded anew, once."""
        reading, runtime, began = self._reading, self._reading.runtime_of(), time.monotonic()
        for _ in range(MOST_TRIES):
            outcome = runtime.join(reading, *reading.wish(self._args, missed, miss)).result()
            waited_s = time.monotonic() - began
            got = reading.settle(runtime, self._key, self._args, outcome, waited_s)
            if isinstance(got, Entry):
                return got
            missed = got
        raise CorruptEntry(f"what was just loaded under {self.key} can't be read back")

    async def aget(self, *, miss: str | None = None) -> R:
        """`get`, from asyncio."""
        return (await self.aread(miss=miss)).value

    async def aread(self, *, miss: str | None = None) -> Entry[R]:
        """`read`, from asyncio. Cancelling it stops the wait, not a load that others wait for, too."""
        reading = self._reading
        reading.check_identity(self._args)
        if past.get() is not None:
            return await _apast_cache(reading, self._key, self._args)
        runtime = reading.runtime_of()
        found = await runtime.on_thread(reading.peek, runtime, self._key, self._args)
        return found if isinstance(found, Entry) else await self._aread_on(found, _miss(reading, miss))

    async def _aread_on(self, missed: Missed, miss: str) -> Entry[R]:
        reading, runtime, began = self._reading, self._reading.runtime_of(), time.monotonic()
        for _ in range(MOST_TRIES):
            joined = runtime.join(reading, *reading.wish(self._args, missed, miss))
            outcome = await asyncio.wrap_future(joined)
            waited_s = time.monotonic() - began
            got = reading.settle(runtime, self._key, self._args, outcome, waited_s)
            if isinstance(got, Entry):
                return got
            missed = got
        raise CorruptEntry(f"what was just loaded under {self.key} can't be read back")

    def entry(self) -> Entry[R] | None:
        """What is stored, if it may be served; never loads, and asks for no refresh of what is missing."""
        reading = self._reading
        reading.check_identity(self._args)
        found = reading.peek(reading.runtime_of(), self._key, self._args)
        return found if isinstance(found, Entry) else None

    async def aentry(self) -> Entry[R] | None:
        """`entry`, from asyncio."""
        return await self._reading.runtime_of().on_thread(self.entry)

    def refresh(self) -> R:
        """Load it anew, by a load that begins after this call. Other readers go on with the old value."""
        reading, runtime, began = self._reading, self._reading.runtime_of(), time.monotonic()
        outcome = self._join_refresh(runtime).result()
        return self._refreshed(
            reading.settle(runtime, self._key, self._args, outcome, time.monotonic() - began)
        )

    async def arefresh(self) -> R:
        """`refresh`, from asyncio."""
        reading, runtime, began = self._reading, self._reading.runtime_of(), time.monotonic()
        outcome = await asyncio.wrap_future(self._join_refresh(runtime))
        return self._refreshed(
            reading.settle(runtime, self._key, self._args, outcome, time.monotonic() - began)
        )

    def _join_refresh(self, runtime: Runtime) -> Future[Outcome]:
        reading = self._reading
        reading.check_identity(self._args)
        reader = Reader(newer_than=None, insist=True, servable=False)
        return runtime.join(reading, self.entry_key, self.params, reader)

    def _refreshed(self, got: Entry[R] | Missed) -> R:
        if isinstance(got, Entry):
            return got.value
        raise CorruptEntry(f"what was just loaded under {self.key} can't be read back")

    def invalidate(self) -> int:
        """Drop it: no read that begins later returns what was loaded before. Returns how many values went."""
        return invalidate_entry(self._reading.runtime_of(), self._reading, self._args)

    async def ainvalidate(self) -> int:
        """`invalidate`, from asyncio."""
        return await self._reading.runtime_of().on_thread(self.invalidate)

    def writing(self) -> Writing[R]:
        """A write of what it is loaded from, whose new value can be put: `with one.writing() as writing:`."""
        return Writing(self._reading, self._args)


class Query(Generic[P, R]):
    """A query under `@warmer.cached(...)`: call it and get the value, from the cache or loaded."""

    def __init__(self, reading: Reading[R]) -> None:
        self._reading = reading
        self._key_from = reading.keys.key_from
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
        return self.bind(*args, **kwargs).read().value

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """A typed handle on one entry."""
        return Handle(self._reading, args, kwargs)

    def read(self, *args: P.args, **kwargs: P.kwargs) -> Entry[R]:
        """The value with its age and state, read through."""
        return self.bind(*args, **kwargs).read()

    async def aget(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The value, from asyncio."""
        return (await self.bind(*args, **kwargs).aread()).value

    async def aread(self, *args: P.args, **kwargs: P.kwargs) -> Entry[R]:
        """The value with its age and state, from asyncio."""
        return await self.bind(*args, **kwargs).aread()

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
        if past.get() is not None:
            return [handle.get() for handle in handles]
        runtime = self._reading.runtime_of()
        found = self._found(handles)
        began = time.monotonic()
        waits = self._join_missing(handles, found)
        for at, future in waits.items():
            outcome, waited_s = future.result(), time.monotonic() - began
            handle = handles[at]
            got = self._reading.settle(runtime, handle._key, handle._args, outcome, waited_s)
            found[at] = got if isinstance(got, Entry) else handle.read()
        return [entry.value for entry in found if isinstance(entry, Entry)]

    async def aget_many(self, calls: Iterable[Any]) -> list[R]:
        """`get_many`, from asyncio."""
        handles = self._handles(calls)
        if past.get() is not None:
            return [await handle.aget() for handle in handles]
        runtime = self._reading.runtime_of()
        found = await runtime.on_thread(self._found, handles)
        began = time.monotonic()
        waits = self._join_missing(handles, found)
        for at, future in waits.items():
            outcome, waited_s = await asyncio.wrap_future(future), time.monotonic() - began
            handle = handles[at]
            got = self._reading.settle(runtime, handle._key, handle._args, outcome, waited_s)
            found[at] = got if isinstance(got, Entry) else await handle.aread()
        return [entry.value for entry in found if isinstance(entry, Entry)]

    def warm(self, calls: Iterable[Any]) -> Run:
        """Queue a run that loads these entries in workers; see `get_many` for the forms."""
        from warmer.runs import start_run

        return start_run(self._reading.runtime_of(), f"by hand: {self.name}", self._handles(calls))

    def _found(self, handles: list[Handle[R]]) -> list[Entry[R] | Missed]:
        reading = self._reading
        runtime = reading.runtime_of()
        for handle in handles:
            reading.check_identity(handle._args)
        return reading.peek_many(runtime, [(handle._key, handle._args) for handle in handles])

    def _join_missing(
        self, handles: list[Handle[R]], found: list[Entry[R] | Missed]
    ) -> dict[int, Future[Outcome]]:
        reading, runtime = self._reading, self._reading.runtime_of()
        waits = {}
        for at, handle in enumerate(handles):
            missed = found[at]
            if isinstance(missed, Missed):
                entry, params, reader = reading.wish(handle._args, missed, reading.options.miss)
                waits[at] = runtime.join(reading, entry, params, reader)
        return waits

    def _handles(self, calls: Iterable[Any]) -> list[Handle[R]]:
        if isinstance(calls, (str, bytes, Mapping)):
            raise NotACall(self.name, show(calls))
        return [self._handle(call) for call in calls]

    def _handle(self, call: Any) -> Handle[R]:
        if isinstance(call, Handle) and call._reading is self._reading:
            return call
        if isinstance(call, Mapping):
            return Handle(self._reading, (), call)
        if isinstance(call, (tuple, list)):
            return Handle(self._reading, tuple(call), {})
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


def _past_cache(reading: Reading[R], key: bytes, args: Args) -> Entry[R]:
    value = reading.call(reading.params(args))
    if asyncio.iscoroutine(value):
        value = asyncio.run(value)
    return Entry(value, 0.0, "loaded", 0, 0.0, key.decode())


async def _apast_cache(reading: Reading[R], key: bytes, args: Args) -> Entry[R]:
    value = reading.call(reading.params(args))
    if asyncio.iscoroutine(value):
        value = await value
    return Entry(value, 0.0, "loaded", 0, 0.0, key.decode())


def _miss(reading: Reading[Any], miss: str | None) -> str:
    from warmer.options import MISSES, one_of

    if miss is None:
        return reading.options.miss
    one_of(reading.name, "miss", miss, MISSES)
    return miss


__all__ = ["AsyncQuery", "Handle", "Query"]
