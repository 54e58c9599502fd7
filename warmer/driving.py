"""The two drivers of a read: its steps are one generator, run in a thread or in a task.

The steps yield what they need: the keys of entries to be fetched, or the future of a load to wait for; they
are sent what came of it. They must not yield while they are being closed: a reader that is cancelled or
interrupted goes away at once, and its wait with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from warmer.runtime.contract import Outcome

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

T = TypeVar("T")
Need = list[bytes] | Future[Outcome]
Steps = Generator[Need, Any, T]


def drive(runtime: Runtime, steps: Steps[T]) -> T:
    """The result of the steps, in this thread."""
    reply: Any = None
    while True:
        try:
            need = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            reply = runtime.store.fetch_many(need) if isinstance(need, list) else need.result()
        except BaseException:
            _give_up(steps, need)
            raise


async def adrive(runtime: Runtime, steps: Steps[T]) -> T:
    """The result of the steps, in this task. Cancelling it cancels the wait, not a load."""
    reply: Any = None
    while True:
        try:
            need = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            if isinstance(need, list):
                reply = await runtime.afetch_many(need)
            else:
                reply = await asyncio.wrap_future(need)
        except BaseException:
            _give_up(steps, need)
            raise


def _give_up(steps: Steps[Any], need: Need) -> None:
    if isinstance(need, Future):
        need.cancel()
    steps.close()
