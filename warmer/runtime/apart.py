"""Loads apart: clean loads of one reader's own, that nobody joins and whose value is not stored.

They take one of the process's places for loads, and need no server.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmer.core.keys import EntryKey
from warmer.dependencies import Names
from warmer.errors import NamespaceClosed, WaitTimeout
from warmer.runtime.contract import Loadable, Outcome, Reader
from warmer.runtime.loading import Load

if TYPE_CHECKING:
    from warmer.runtime.handover import Handover
    from warmer.runtime.process import Runtime


@dataclass(frozen=True, slots=True)
class Apart:
    """What a load needs to know of its entry, where there is no flight."""

    runtime: Runtime
    query: Loadable
    entry: EntryKey
    params: Mapping[str, Any]
    names: Names


def load_apart(runtime: Runtime, query: Loadable, args: tuple[Any, ...]) -> Handover[Outcome]:
    """Begin such a load. From any thread; the future always ends."""
    entry, params, reader = query.entry(args), query.params(args), Reader()
    apart = Apart(runtime, query, entry, params, query.names_of(params, entry))

    def begin() -> None:
        task = runtime.loop.create_task(_load(apart, reader))
        runtime.tasks.add(task)
        task.add_done_callback(runtime.tasks.discard)

    with contextlib.suppress(RuntimeError):  # its loop is closed already
        runtime.loop.call_soon_threadsafe(begin)
    if runtime.closed:
        reader.finish(Outcome("failed", error=NamespaceClosed(query.name, entry.params)))
    return reader.future


async def _load(apart: Apart, reader: Reader) -> None:
    """Wait for a place as long as a reader waits, and start."""
    name, wait_s = apart.query.name, apart.query.options.wait_s
    began = time.monotonic()
    try:
        async with asyncio.timeout(wait_s):
            await apart.runtime.slots.acquire()
    except TimeoutError:
        late = WaitTimeout(name, apart.entry.params, time.monotonic() - began)
        reader.finish(Outcome("failed", error=late))
        return
    except asyncio.CancelledError:
        reader.finish(Outcome("failed", error=NamespaceClosed(name, apart.entry.params)))
        raise
    Load(apart, [reader], None, slot=True).start()
