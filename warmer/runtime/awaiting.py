"""Waiting in an event loop for what another thread brings: one call into the loop for all that comes.

`asyncio.wrap_future` calls into the loop once for each future: a system call and a chance to lose the
interpreter's lock. Where a load's value comes for hundreds of tasks at once, that is most of what it costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Arrivals:
    """What has come for the tasks of one event loop, until that loop looks."""

    __slots__ = ("__weakref__", "_came", "_told")

    def __init__(self) -> None:
        self._came: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._told = False

    def add(self, loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[Any], came: Future[Any]) -> None:
        """From any thread: the one is done that the other waits for."""
        self._came.append((waiting, came))
        if self._told:
            return  # and has not looked yet: it takes what was added before it does
        self._told = True
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits there any more
            loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._told = False
        while self._came:
            waiting, came = self._came.popleft()
            if waiting.done():
                continue
            error = None if came.cancelled() else came.exception()
            if came.cancelled():
                waiting.cancel()
            elif error is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(came.result())


_arrivals: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Arrivals] = weakref.WeakKeyDictionary()


def awaited(future: Future[T]) -> asyncio.Future[T]:
    """The future's result, for a task of the running loop; a wait that is cancelled cancels the future."""
    loop = asyncio.get_running_loop()
    arrivals = _arrivals.get(loop)
    if arrivals is None:
        arrivals = _arrivals.setdefault(loop, Arrivals())
    waiting: asyncio.Future[T] = loop.create_future()

    def gone(waited: asyncio.Future[T]) -> None:
        if waited.cancelled():
            future.cancel()

    waiting.add_done_callback(gone)
    future.add_done_callback(lambda came: arrivals.add(loop, waiting, came))
    return waiting
