"""The types of the public API: checked by mypy and basedpyright, never run."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any, assert_type

from warmer import PUBLIC, AsyncQuery, Entry, Handle, Query, Warmer, adaptive, cron


class Session:
    """Stands for a database session."""


flights = Warmer("flights")


@flights.cached(ttl=300)
def delays(carrier: str, month: int = 1) -> list[float]:
    """A plain query."""
    return [float(month)]


@flights.cached(ttl=300)
async def boards(airport: str) -> dict[str, int]:
    """An async one."""
    return {airport: 1}


@flights.cached(ttl=adaptive(30, 3600, stale=0.05), soft_timeout=0.2)
def fleets(carrier: str) -> list[str]:
    """One whose ttl is learned."""
    return [carrier]


@flights.cached(ttl=300, resources={"session": Session}, scope=PUBLIC)
def history(session: Session, tail: str) -> tuple[str, ...]:
    """One with a resource, which the call does not have."""
    return (tail,)


assert_type(delays("UA", 3), list[float])
assert_type(delays(carrier="UA"), list[float])
assert_type(delays.read("UA", 3), Entry[list[float]])
assert_type(delays.read("UA", 3).value, list[float])
assert_type(delays.bind("UA", 3), Handle[list[float]])
assert_type(delays.bind("UA", 3).get(miss="raise"), list[float])
assert_type(delays.bind("UA", 3).entry(), Entry[list[float]] | None)
assert_type(delays.get_many([("UA", 3)]), list[list[float]])
assert_type(delays.refresh("UA", 3), list[float])
assert_type(delays.invalidate("UA", 3), int)
assert_type(delays.fn("UA", 3), list[float])
assert_type(history("N1"), tuple[str, ...])
assert_type(history.bind("N1"), Handle[tuple[str, ...]])


def kinds(one: Query[[str], int], other: AsyncQuery[[str], int]) -> None:
    """Both kinds say what calling them gives."""
    assert_type(one("x"), int)
    made: Coroutine[Any, Any, int] = other("x")
    assert_type(made.close(), None)


async def from_asyncio() -> None:
    """The same with an a in front, and awaited."""
    assert_type(await delays.aget("UA", 3), list[float])
    assert_type(await delays.aread("UA", 3), Entry[list[float]])
    assert_type(await delays.aget_many([("UA", 3)]), list[list[float]])
    assert_type(await boards("JFK"), dict[str, int])
    assert_type(await boards.aget("JFK"), dict[str, int])


@flights.plan(cron("0 5 * * *"), rate="50/s")
def morning() -> Iterator[Handle[list[float]]]:
    """A plan keeps its type."""
    yield delays.bind("UA", 3)


assert_type(next(iter(morning())), Handle[list[float]])

delays(1, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
delays("UA", "3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
history(Session(), "N1")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
