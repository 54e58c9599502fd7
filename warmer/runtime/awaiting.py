"""Waiting in an event loop for what another thread brings; as `asyncio.wrap_future`, but see `crossing`."""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import Future
from typing import Any, TypeVar

from warmer.runtime.crossing import Crossing

T = TypeVar("T")
#: Who waits, and the future that has come for it.
Arrival = tuple[asyncio.Future[Any], Future[Any]]

_arrivals: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Crossing[Arrival]]
_arrivals = weakref.WeakKeyDictionary()


def awaited(future: Future[T]) -> asyncio.Future[T]:
    """The future's result, for a task of the running loop; a wait that is cancelled cancels the future."""
    loop = asyncio.get_running_loop()
    arrivals = _arrivals.get(loop)
    if arrivals is None:
        arrivals = _arrivals[loop] = Crossing(_tell)
    waiting: asyncio.Future[T] = loop.create_future()

    def gone(waited: asyncio.Future[T]) -> None:
        if waited.cancelled():
            future.cancel()

    waiting.add_done_callback(gone)
    future.add_done_callback(lambda came: arrivals.hand(loop, (waiting, came)))
    return waiting


def _tell(arrival: Arrival) -> None:
    waiting, came = arrival
    if waiting.done():
        return
    if came.cancelled():
        waiting.cancel()
        return
    error = came.exception()
    if error is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(came.result())
