"""The two drivers of a read: its steps are one generator, run in a thread or in a task.

The steps yield what they need: an entry to look for, or several, or entries' first bytes, or the future of a
load to wait for; they are sent what came of it. They must not yield while they are being closed: a reader
that is cancelled or interrupted goes away at once, and its wait with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from warmer.runtime.awaiting import awaited
from warmer.runtime.blocking import warn_in_loop
from warmer.runtime.contract import Joint, Outcome
from warmer.runtime.handover import Handover

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

T = TypeVar("T")


class Look(NamedTuple):
    """The key of one entry to be fetched; a thread is told Crowded rather than wait for a connection."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Within:
    """A load to wait for, and for how many seconds at most; what comes of that is None if it takes longer."""

    load: Handover[Outcome]
    seconds: float


@dataclass(frozen=True, slots=True)
class Fronts:
    """Entries of which only so many first bytes are wanted. Of each comes what was found, and the life."""

    wanted: list[tuple[bytes, int]]


Need = Look | list[bytes] | Fronts | Joint | Handover[Outcome] | Within
Steps = Generator[Need, Any, T]


def drive(runtime: Runtime, steps: Steps[T], query: str = "", instead: str = "") -> T:
    """The result of the steps, in this thread.

    query, instead: what a caller inside an event loop is told to await if the steps wait for a load.
    """
    reply: Any = None
    while True:
        try:
            need = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            if isinstance(need, Joint):
                need = runtime.meet(need)
            if isinstance(need, Look):
                reply = runtime.store.fetch(need.key, True)
            elif isinstance(need, list):
                reply = runtime.store.fetch_many(need)
            elif isinstance(need, Fronts):
                reply = [runtime.store.fetch_front(*front) for front in need.wanted]
            elif isinstance(need, Handover) and need.done():  # found with others: nothing stood still
                reply = need.result()
            else:
                warn_in_loop(runtime, query, instead)
                reply = need.result() if isinstance(need, Handover) else _result_within(need)
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
            if isinstance(need, Look):
                reply = await runtime.afetch(need.key)
            elif isinstance(need, list):
                reply = await runtime.afetch_many(need)
            elif isinstance(need, Fronts):
                reply = await runtime.afetch_fronts(need.wanted)
            elif isinstance(need, Joint):
                reply = await runtime.turns.join(need)
            elif isinstance(need, Handover):
                reply = await awaited(need)
            else:
                reply = await _aresult_within(need)
        except BaseException:
            _give_up(steps, need)
            raise


def _result_within(need: Within) -> Outcome | None:
    try:
        return need.load.result(need.seconds)
    except TimeoutError:
        need.load.cancel()
        return None


async def _aresult_within(need: Within) -> Outcome | None:
    try:
        async with asyncio.timeout(need.seconds):
            return await awaited(need.load)
    except TimeoutError:
        return None


def _give_up(steps: Steps[Any], need: Need) -> None:
    if isinstance(need, Within):
        need.load.cancel()
    elif isinstance(need, Handover):
        need.cancel()
    steps.close()
