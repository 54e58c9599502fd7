"""From threads into an event loop: one call into the loop for all that come together.

`call_soon_threadsafe` is a system call and a chance to lose the interpreter's lock. Where a thousand readers
join, or are answered, at once, that is most of what it costs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Crossing(Generic[T]):
    """What threads hand over until the loop looks, in the order in which they did.

    take: called with each, in the loop. pause_s: after it has looked and found some it looks again by itself,
    and nobody need call it: for what may wait so long where much comes at once.
    """

    __slots__ = ("__weakref__", "_items", "_pause_s", "_take", "_told")

    def __init__(self, take: Callable[[T], None], pause_s: float = 0.0) -> None:
        self._take, self._pause_s = take, pause_s
        self._items: deque[T] = deque()
        self._told = False

    def hand(self, loop: asyncio.AbstractEventLoop, item: T) -> None:
        """From any thread. A loop that has ended takes nothing any more."""
        self._items.append(item)
        if self._told:
            return  # and has not looked yet: it takes what was handed over before it does
        self._told = True
        self.call(loop)

    def call(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop look now, pause or not, before what it is asked to do next. From any thread."""
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        if self._pause_s and self._items:
            asyncio.get_running_loop().call_later(self._pause_s, self._look)
        else:
            self._told = False
        try:
            while self._items:
                self._take(self._items.popleft())
        finally:
            if self._items:  # one could not be taken: that is no reason to keep the others waiting
                asyncio.get_running_loop().call_soon(self._look)
