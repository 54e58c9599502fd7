"""What users would try on a reader: mutate what it gave, cancel it, make its loader fail, every type."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.test_values import ROUND_TRIPS
from warmer import LoadFailed, Query, Warmer
from warmer.testing import wait_until

Ask = Callable[..., Any]


@pytest.fixture
def shop(each_redis_url: str, namespace: str) -> Iterator[Warmer]:
    """A namespace on each kind of server."""
    flights = Warmer(namespace, redis_url=each_redis_url)
    yield flights
    flights.close()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Reads a query: `ask(query, ...)` is its value, in both colours."""

    def sync(query: Query[Any, Any], *args: Any) -> Any:
        return query(*args)

    def in_a_loop(query: Query[Any, Any], *args: Any) -> Any:
        return asyncio.run(_value(query, *args))

    return sync if request.param == "sync" else in_a_loop


async def _value(query: Query[Any, Any], *args: Any) -> Any:
    return await query.aget(*args)


def test_a_mutated_result_changes_nobody_elses(shop: Warmer, ask: Ask) -> None:
    """Loaded or hit, what a reader does to its list or its rows is its own affair."""

    @shop.cached(ttl=60, name="rows", version="1")
    def rows(month: int) -> list[dict[str, list[int]]]:
        return [{"delays": [month]}]

    for _ in range(3):
        got = ask(rows, 3)
        assert got == [{"delays": [3]}]
        got[0]["delays"].append(4)
        got[0]["more"] = []
        got.append({})


@pytest.mark.parametrize(("annotation", "value"), ROUND_TRIPS)
def test_a_value_of_every_type_is_read_as_it_was_loaded(
    shop: Warmer, ask: Ask, annotation: Any, value: Any
) -> None:
    """By whoever loads it and by whoever hits it, of the annotated type."""

    def load(number: int) -> object:
        return value

    load.__annotations__["return"] = annotation
    query: Query[[int], Any] = shop.cached(ttl=60, name="typed", version="1")(load)

    loaded, hit = ask(query, 1), ask(query, 1)

    assert query.read(1).state == "fresh"
    assert (loaded, hit) == (value, value)
    assert type(loaded) is type(hit)


@pytest.mark.usefixtures("long_back_off")
def test_a_failing_loader_is_told_once_and_heals(shop: Warmer, ask: Ask) -> None:
    """Each reader hears of it without a load of its own; an invalidation ends the pause."""
    loads: list[int] = []

    @shop.cached(ttl=60, name="failing", version="1")
    def failing(month: int) -> int:
        loads.append(month)
        if len(loads) == 1:
            raise ValueError("the database is on fire")
        return month

    for _ in range(3):
        with pytest.raises(LoadFailed, match="on fire"):
            ask(failing, 3)
    assert len(loads) == 1
    failing.invalidate(3)
    assert ask(failing, 3) == 3


@pytest.mark.parametrize("form", ["sync", "async"])
def test_a_cancelled_reader_leaves_nothing_behind(shop: Warmer, form: str) -> None:
    """Its load goes on and is stored; others who wait are served; no lease and no waiter stays."""
    began, go_on = asyncio.Event(), threading.Event()
    loop_of: list[asyncio.AbstractEventLoop] = []

    def work(month: int) -> int:
        loop_of[0].call_soon_threadsafe(began.set)
        assert go_on.wait(20)
        return month

    async def awork(month: int) -> int:
        return await asyncio.to_thread(work, month)

    fn: Any = work if form == "sync" else awork
    slow = shop.cached(ttl=60, name="slow", version="1")(fn)

    async def story() -> int:
        loop_of.append(asyncio.get_running_loop())
        cancelled = asyncio.create_task(_value(slow, 3))
        await began.wait()
        other = asyncio.create_task(_value(slow, 3))
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await slow.aget(3)
        go_on.set()
        return int(await other)

    assert asyncio.run(story()) == 3
    runtime = shop.runtime()
    wait_until(lambda: not runtime._flights, description="no flight to be left")
    wait_until(lambda: not runtime.heartbeat.held(), description="no lease to be left")
    assert slow.bind(3).entry() is not None
