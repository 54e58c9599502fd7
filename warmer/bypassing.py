"""Reads that go past the cache: nothing that is stored is looked at, and nothing is stored.

Inside a load, and within `warmer.testing.bypass`, every read does, and its function runs where it is called.
Where a tracked transaction has written something, reads of the entries that this concerns do, until it ends:
their function runs clean, as in any load, so they get what is committed now, however long an entry is fresh.
What the transaction itself has written, only its own session sees.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from warmer.driving import Steps, adrive, drive
from warmer.entry import Entry
from warmer.errors import CacheMiss, CorruptEntry
from warmer.outbox.concerning import concerns
from warmer.reading import UNREADABLE, Args, Reading
from warmer.runtime.apart import load_apart
from warmer.runtime.modes import past

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

R = TypeVar("R")


def passes(reading: Reading[Any], args: Args) -> bool:
    """Whether a read of this entry goes past the cache, in a context that has a mode."""
    mode = past.get()
    if mode is None or not mode.pending:
        return mode is not None
    still_open = [pending for pending in mode.pending if not pending.over]
    if not still_open:
        past.set(None)  # all of them have ended: the next read need not ask
        return False
    namespace = reading.keys.namespace
    own = [pending for pending in still_open if pending.namespace == namespace]
    if not own:
        return False
    names = reading.names_of(reading.params(args), reading.entry(args)).all()
    shapes = reading.runtime_of().shapes.by_table()
    return any(concerns(pending, names, shapes, found=reading.dependencies.auto) for pending in own)


def past_cache(reading: Reading[R], key: bytes, args: Args, miss: str) -> Entry[R]:
    """The entry, loaded past the cache. Raises what a load does, and CacheMiss."""
    if _apart():
        runtime = reading.runtime_of()
        return drive(runtime, _loaded(runtime, reading, key, args, miss), reading.name, "aget")
    value = reading.call(reading.params(args))
    if asyncio.iscoroutine(value):
        value = asyncio.run(value)
    return Entry(value, 0.0, "loaded", 0, 0.0, key.decode())


async def apast_cache(reading: Reading[R], key: bytes, args: Args, miss: str) -> Entry[R]:
    """`past_cache`, from asyncio."""
    if _apart():
        runtime = reading.runtime_of()
        return await adrive(runtime, _loaded(runtime, reading, key, args, miss))
    value = reading.call(reading.params(args))
    if asyncio.iscoroutine(value):
        value = await value
    return Entry(value, 0.0, "loaded", 0, 0.0, key.decode())


def _apart() -> bool:
    mode = past.get()
    return mode is not None and bool(mode.pending)


def _loaded(runtime: Runtime, reading: Reading[R], key: bytes, args: Args, miss: str) -> Steps[Entry[R]]:
    """By a clean load of this reader's own; where this process may not load, by a worker's from now on."""
    began = time.monotonic()
    if miss == "load":
        load = load_apart(runtime, reading, args)
    elif miss == "wait":
        load = runtime.join(reading, *reading.wish(runtime, key, args, UNREADABLE, miss))
    else:
        raise CacheMiss(reading.name, reading.entry(args).params)
    outcome = yield load
    got = reading.settle(runtime, key, args, outcome, time.monotonic() - began)
    if isinstance(got, Entry):
        return got
    raise CorruptEntry(f"what was just loaded of {key.decode()} can't be read back")


__all__ = ["apast_cache", "passes", "past_cache"]
