"""Waiting in tests: for a condition, never for an amount of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from warmer.testing.failures import NotReached

T = TypeVar("T")

# The first looks come quickly (most conditions hold within a millisecond or two), later ones leave the CPU
# to the processes that are being waited for.
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05
_VALUE_CHARS = 500


def wait_until(
    predicate: Callable[[], T], description: str | Callable[[], str] = "", *, timeout_s: float = 10.0
) -> T:
    """Call `predicate` until it returns something true, and return that.

    description: what is awaited, or a function that says it (called on failure only, so that it may show the
    tail of a log). timeout_s: seconds. The predicate is called at least once, and once more at the end.
    Raises NotReached with what was awaited, for how long, and the last value. An exception of the predicate
    passes through: a condition that may fail to be read says so itself.
    """
    for pause_s in _pauses(timeout_s):
        value = predicate()
        if value:
            return value
        time.sleep(pause_s)
    value = predicate()
    if value:
        return value
    raise NotReached(_described(predicate, description), timeout_s, _shown(value))


async def wait_until_async(
    predicate: Callable[[], T | Awaitable[T]],
    description: str | Callable[[], str] = "",
    *,
    timeout_s: float = 10.0,
) -> T:
    """Like `wait_until`, for asyncio: the loop stays free, and the predicate may be a coroutine function."""
    for pause_s in _pauses(timeout_s):
        value = await _value_of(predicate)
        if value:
            return value
        await asyncio.sleep(pause_s)
    value = await _value_of(predicate)
    if value:
        return value
    raise NotReached(_described(predicate, description), timeout_s, _shown(value))


async def _value_of(predicate: Callable[[], T | Awaitable[T]]) -> T:
    value = predicate()
    return await value if isinstance(value, Awaitable) else value


def _pauses(timeout_s: float) -> Iterator[float]:
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while (left_s := deadline - time.monotonic()) > 0:
        yield min(pause_s, left_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def _described(predicate: Callable[[], object], description: str | Callable[[], str]) -> str:
    if callable(description):
        return description()
    return description or getattr(predicate, "__qualname__", repr(predicate))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _VALUE_CHARS else text[:_VALUE_CHARS] + "..."
