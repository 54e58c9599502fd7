"""Loads run clean: on a thread of Warmer's own, in an empty context, with what they need opened for them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from warmer.found.reads import Reads
from warmer.runtime.modes import Past, past

#: Why a load is not clean whose own transactions end without a COMMIT.
UNSETTLED = "it has written something itself that was not committed, and may have read it"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a load gave: the value, how long it took, and the names it found on the way.

    reads: what its statements read, if somebody wanted to know. began: on the monotonic clock. unclean: why
    the value must not be stored, "" if it may be.
    """

    value: Any
    cost_us: int
    found: frozenset[str]
    reads: Reads | None = None
    began: float = 0.0
    unclean: str = ""


class Expired(Exception):
    """An async load was cancelled because its time was up; a loader's own TimeoutError is another thing."""


class LoadThread:
    """Runs one piece of work on a new thread whose context is empty.

    A thread a load, not a pool: a load that never returns must not hold a place that others need, and nothing
    that a load leaves behind in thread-locals may reach the next one.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._thread = threading.Thread(
            target=contextvars.Context().run, args=(work,), name=f"warmer-load-{name}", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()


def run_load(
    call: Callable[[], Any], around: Callable[[], Any] | None, loops: LoadLoop, timeout_s: float
) -> Loaded:
    """Run one load in this thread: `call` gives the value, or a coroutine for the process's load loop.

    around: makes a context manager that encloses the load. Raises what the load raises.
    """
    marker = Past(loading=True)
    past.set(marker)
    began, started = time.monotonic(), time.perf_counter()
    if around is None:
        value = _value(call, loops, timeout_s, marker)
    else:
        with around():
            value = _value(call, loops, timeout_s, marker)
    cost_us = round((time.perf_counter() - started) * 1e6)
    unclean = marker.unclean or (UNSETTLED if marker.unsettled else "")
    return Loaded(value, cost_us, frozenset(marker.found), marker.reads, began, unclean)


def _value(call: Callable[[], Any], loops: LoadLoop, timeout_s: float, marker: Past) -> Any:
    made = call()
    if asyncio.iscoroutine(made):
        return loops.run(made, timeout_s, marker)
    return made


class LoadLoop:
    """One event loop a process on which all async loaders run, so that a module-level async engine works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def run(self, coroutine: Coroutine[Any, Any, Any], timeout_s: float, marker: Past) -> Any:
        """The coroutine's result; it is cancelled after `timeout_s`."""

        async def bounded() -> Any:
            past.set(marker)
            limit = asyncio.timeout(timeout_s)
            try:
                async with limit:
                    return await coroutine
            except TimeoutError as exc:
                raise Expired if limit.expired() else exc from None

        # The task runs in a copy of this thread's context, which is a clean one.
        return asyncio.run_coroutine_threadsafe(bounded(), self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
                threading.Thread(
                    target=serve, args=(self._loop,), name="warmer-async-loads", daemon=True
                ).start()
            return self._loop

    def close(self) -> None:
        """Stop the loop and cancel what runs on it; the next load begins another."""
        with self._lock:
            if self._loop is not None and self._pid == os.getpid():
                self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None


def serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run an event loop in this thread until it is stopped; what still runs on it then is cancelled."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
