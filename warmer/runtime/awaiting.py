"""Waiting in an event loop for what another thread brings; as `asyncio.wrap_future`, but see `crossing`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from warmer.runtime.crossing import Crossing
from warmer.runtime.handover import Handover

T = TypeVar("T")
#: Those who wait, and the future that has come for them.
Arrival = tuple[Sequence[asyncio.Future[Any]], Future[Any] | Handover[Any]]

_arrivals: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Crossing[Arrival]]
_arrivals = weakref.WeakKeyDictionary()


def awaited(future: Future[T] | Handover[T]) -> asyncio.Future[T]:
    """The future's result, for a task of the running loop; a wait that is cancelled cancels the future."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[T] = loop.create_future()

    def gone(waited: asyncio.Future[T]) -> None:
        if waited.cancelled():
            future.cancel()

    waiting.add_done_callback(gone)
    tell(loop, [waiting], future)
    return waiting


def tell(
    loop: asyncio.AbstractEventLoop,
    waiting: Sequence[asyncio.Future[T]],
    future: Future[T] | Handover[T],
) -> None:
    """Have the future's result in those of this loop; who has gone away is passed over. In that loop."""
    arrivals = _arrivals.get(loop)
    if arrivals is None:
        arrivals = _arrivals[loop] = Crossing(_tell)
    future.add_done_callback(lambda came: arrivals.hand(loop, (waiting, came)))


def _tell(arrival: Arrival) -> None:
    those, came = arrival
    for waiting in those:
        if waiting.done():
            continue
        try:
            waiting.set_result(came.result())
        except CancelledError:
            waiting.cancel()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is theirs who wait
            waiting.set_exception(error)
