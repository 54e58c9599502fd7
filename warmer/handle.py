"""A typed handle on one entry of a query: where the options of a call go."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from warmer.bypassing import apast_cache, passes, past_cache
from warmer.core.keys import EntryKey
from warmer.driving import Look, Steps, adrive, drive
from warmer.entry import Entry
from warmer.errors import CacheMiss, CorruptEntry, show
from warmer.invalidation import invalidate_entry
from warmer.puts import put_in_transaction
from warmer.reading import CROWDED, JOINING, MISSED, Args, Missed, Reading
from warmer.runtime.blocking import warn_in_loop
from warmer.runtime.contract import Joint, Reader
from warmer.runtime.modes import past
from warmer.writing import Writing

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

R = TypeVar("R")

# A value that can't be read is loaded anew; what can't be read then, either, is no accident.
MOST_TRIES = 3


class Handle(Generic[R]):
    """One entry of a query: where the options of a call go. Made by `query.bind(...)`."""

    __slots__ = ("_args", "_key", "_reading")

    def __init__(self, reading: Reading[R], key: bytes, args: Args) -> None:
        """key, args: what the query's key factory makes of a call."""
        self._reading, self._key, self._args = reading, key, args

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
        if reading.scoped:
            reading.check_identity(self._args)
        if past.get() is not None and passes(reading, self._args):
            return past_cache(reading, self._key, self._args, _miss(reading, miss))
        runtime = reading.runtime_of()
        if runtime.missing and (crowd := reading.crowd(runtime, self._key, miss)) is not None:
            return self._read_with(crowd, runtime, miss)
        return drive(runtime, self._read(runtime, miss), reading.name, "aget")

    async def aget(self, *, miss: str | None = None) -> R:
        """`get`, from asyncio."""
        return (await self.aread(miss=miss)).value

    async def aread(self, *, miss: str | None = None) -> Entry[R]:
        """`read`, from asyncio. Cancelling it stops the wait, not a load that others wait for, too."""
        reading = self._reading
        if reading.scoped:
            reading.check_identity(self._args)
        if past.get() is not None and passes(reading, self._args):
            return await apast_cache(reading, self._key, self._args, _miss(reading, miss))
        runtime = reading.runtime_of()
        if runtime.missing and reading.may_join(runtime, self._key, miss):
            return await self._aread_with(runtime, miss)
        return await adrive(runtime, self._read(runtime, miss))

    def _read_with(self, crowd: Reader, runtime: Runtime, miss: str | None) -> Entry[R]:
        """`_read_on` of a thread that finds others waiting: in few steps, for there may be a thousand."""
        reading, began = self._reading, time.monotonic()
        warn_in_loop(runtime, reading.name, "aget")
        outcome = crowd.future.result()
        got = reading.settle(runtime, self._key, self._args, outcome, time.monotonic() - began)
        if isinstance(got, Entry):
            return got
        return drive(runtime, self._read_on(runtime, got, _miss(reading, miss)), reading.name, "aget")

    async def _aread_with(self, runtime: Runtime, miss: str | None) -> Entry[R]:
        """The same of a task."""
        reading, began, what = self._reading, time.monotonic(), _miss(self._reading, miss)
        outcome = await runtime.turns.join(Joint(reading, self._key, self._args, what == "load"))
        got = reading.settle(runtime, self._key, self._args, outcome, time.monotonic() - began)
        return got if isinstance(got, Entry) else await adrive(runtime, self._read_on(runtime, got, what))

    def _read(self, runtime: Runtime, miss: str | None) -> Steps[Entry[R]]:
        reading = self._reading
        if runtime.missing and reading.may_join(runtime, self._key, miss):
            return (yield from self._read_on(runtime, JOINING, _miss(reading, miss)))
        if reading.joins and miss != "raise":
            seen = reading.hit(runtime, self._key, self._args, *(yield Look(self._key)))
        else:
            (seen,) = yield from reading.peeking(runtime, [(self._key, self._args)])
        if isinstance(seen, Missed):
            return (yield from self._read_on(runtime, seen, _miss(reading, miss)))
        return reading.entry_of(self._key, self._args, seen)

    def _read_on(self, runtime: Runtime, missed: Missed, miss: str) -> Steps[Entry[R]]:
        """Have it loaded, or wait for whoever loads it; what turns out unreadable is loaded anew, once."""
        reading, began, stale = self._reading, time.monotonic(), missed.stale
        if stale is not None and miss == "raise":
            return reading.entry_of(self._key, self._args, stale)
        tries = 0
        while tries < MOST_TRIES:
            tries += missed is not CROWDED
            if missed is JOINING or missed is MISSED or missed is CROWDED:
                if miss == "raise":
                    raise CacheMiss(reading.name, self.entry_key.params)
                joint = Joint(reading, self._key, self._args, miss == "load", missed is CROWDED)
                if missed is MISSED:
                    runtime.note_missing(joint)
                outcome = yield joint
            else:
                load = runtime.join(reading, *reading.wish(runtime, self._key, self._args, missed, miss))
                outcome = yield reading.wait_for(load, missed, time.monotonic() - began)
            waited_s = time.monotonic() - began
            got = reading.settle(runtime, self._key, self._args, outcome, waited_s, stale)
            if isinstance(got, Entry):
                return got
            stale = got.stale or stale
            missed = got if got.stale is stale else replace(got, stale=stale)
        raise self._unreadable()

    def entry(self) -> Entry[R] | None:
        """What is stored, if it may be served; never loads, and asks for no refresh of what is missing."""
        self._reading.check_identity(self._args)
        runtime = self._reading.runtime_of()
        return drive(runtime, self._entry(runtime))

    async def aentry(self) -> Entry[R] | None:
        """`entry`, from asyncio."""
        self._reading.check_identity(self._args)
        runtime = self._reading.runtime_of()
        return await adrive(runtime, self._entry(runtime))

    def _entry(self, runtime: Runtime) -> Steps[Entry[R] | None]:
        (seen,) = yield from self._reading.peeking(runtime, [(self._key, self._args)])
        there = seen.stale if isinstance(seen, Missed) else seen
        return None if there is None else self._reading.entry_of(self._key, self._args, there)

    def refresh(self) -> R:
        """Load it anew, by a load that begins after this call. Other readers go on with the old value."""
        runtime = self._reading.runtime_of()
        return drive(runtime, self._refresh(runtime), self._reading.name, "arefresh")

    async def arefresh(self) -> R:
        """`refresh`, from asyncio."""
        runtime = self._reading.runtime_of()
        return await adrive(runtime, self._refresh(runtime))

    def _refresh(self, runtime: Runtime) -> Steps[R]:
        reading, began = self._reading, time.monotonic()
        reading.check_identity(self._args)
        reader = Reader(newer_than=None, insist=True, servable=False)
        outcome = yield runtime.join(reading, self.entry_key, self.params, reader)
        waited_s = time.monotonic() - began
        got = reading.settle(runtime, self._key, self._args, outcome, waited_s)
        if isinstance(got, Entry):
            return got.value
        raise self._unreadable()

    def _unreadable(self) -> CorruptEntry:
        return CorruptEntry(f"what was just loaded under {self.key} can't be read back")

    def invalidate(self) -> int:
        """Drop it: no read that begins later returns what was loaded before. Returns how many values went."""
        return invalidate_entry(self._reading.runtime_of(), self._reading, self._args)

    async def ainvalidate(self) -> int:
        """`invalidate`, from asyncio."""
        return await self._reading.runtime_of().on_thread(self.invalidate)

    def put(self, value: R) -> None:
        """Have it stored when the tracked transaction that is open here is committed: see `Query.put`."""
        put_in_transaction(self._reading, self._args, value)

    def writing(self) -> Writing[R]:
        """A write of what it is loaded from, whose new value can be put: `with one.writing() as writing:`."""
        return Writing(self._reading, self._args)


def _miss(reading: Reading[Any], miss: str | None) -> str:
    from warmer.options import MISSES, one_of

    if miss is None:
        return reading.options.miss
    one_of(reading.name, "miss", miss, MISSES)
    return miss
