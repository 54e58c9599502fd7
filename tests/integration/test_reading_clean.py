"""What surrounds a load: an empty context, its resources, what encloses it, and queries inside of queries."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from warmer import LoadFailed, Warmer
from warmer.testing import bypass

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="nobody's")
ambient = threading.local()


def test_a_load_sees_nothing_of_its_caller(flights: Warmer) -> None:
    """Context variables, thread-locals and the thread of the reader are not those of the load."""

    @flights.cached(ttl=60, name="seen")
    def seen() -> tuple[str, str, bool]:
        thread = threading.current_thread()
        return request.get(), getattr(ambient, "user", "nobody"), thread is threading.main_thread()

    request.set("somebody's")
    ambient.user = "somebody"

    assert seen() == ("nobody's", "nobody", False)


def test_no_load_sees_what_another_left_behind(flights: Warmer) -> None:
    """What a load sets in its context or its thread is gone with it."""

    @flights.cached(ttl=60, name="left")
    def left(n: int) -> tuple[str, str]:
        found = request.get(), getattr(ambient, "user", "nobody")
        request.set(f"load {n}")
        ambient.user = f"load {n}"
        return found

    request.set("nobody's")
    assert [left(n) for n in range(5)] == [("nobody's", "nobody")] * 5


def test_an_async_load_sees_nothing_of_its_caller(flights: Warmer) -> None:
    """Nor does a coroutine, though all of them share one event loop."""

    @flights.cached(ttl=60, name="seen")
    async def seen(n: int) -> str:
        found = request.get()
        request.set(f"load {n}")
        await asyncio.sleep(0)
        return found

    async def caller() -> list[str]:
        request.set("somebody's")
        return [await seen(n) for n in range(3)]

    assert asyncio.run(caller()) == ["nobody's"] * 3


def test_identity_is_not_seen_by_loads(flights: Warmer) -> None:
    """Who acts for somebody loads as nobody: the value may be read by others."""

    @flights.cached(ttl=60, name="inner", scope="user_id")
    def inner(user_id: int) -> int:
        return user_id

    @flights.cached(ttl=60, name="outer")
    def outer() -> int:
        return inner(43)

    with flights.identity(user_id=42):
        assert outer() == 43


class Session:
    """A resource that says what became of it."""

    log: list[str]

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def close(self) -> None:
        self.log.append("closed")


def test_resources_are_opened_for_each_load_and_closed_after_it(flights: Warmer) -> None:
    """A resource is no part of the key or the call; what has close() is closed."""
    log: list[str] = []

    def open_session() -> Session:
        log.append("opened")
        return Session(log)

    @flights.cached(ttl=60, name="counted", resources={"session": open_session})
    def counted(session: Session, n: int) -> int:
        session.log.append(f"used {n}")
        return n

    assert (counted(1), counted(1), counted(2)) == (1, 1, 2)
    assert log == ["opened", "used 1", "closed", "opened", "used 2", "closed"]
    assert counted.bind(n=1).params == {"n": 1}


def test_a_resource_that_is_a_context_manager_is_entered(flights: Warmer) -> None:
    """What it gives is what the function gets, and it is left with the error of the load."""
    log: list[object] = []

    @contextlib.contextmanager
    def connection() -> Iterator[str]:
        try:
            yield "connected"
        except ValueError as error:
            log.append(error)
            raise
        finally:
            log.append("left")

    @flights.cached(ttl=60, name="used", resources={"connection": connection})
    def used(connection: str, n: int) -> str:
        if n < 0:
            raise ValueError("below zero")
        return connection

    assert used(1) == "connected"
    with pytest.raises(LoadFailed):
        used(-1)

    assert [str(part) for part in log] == ["left", "below zero", "left"]


def test_resources_are_closed_in_reverse_and_opened_in_order(flights: Warmer) -> None:
    """Several resources nest like with-statements; one that can't be opened fails the load and closes the
    rest.
    """
    log: list[str] = []

    @contextlib.contextmanager
    def first() -> Iterator[str]:
        log.append("first in")
        yield "a"
        log.append("first out")

    def second() -> str:
        log.append("second")
        return "b"

    @flights.cached(ttl=60, name="both", resources={"one": first, "two": second})
    def both(one: str, two: str, n: int) -> str:
        return f"{one}{two}{n}"

    assert both(1) == "ab1"  # type: ignore[call-arg, arg-type]  # of two resources one is typed away
    assert log == ["first in", "second", "first out"]


def test_a_resource_that_can_not_be_opened_is_a_failed_load(flights: Warmer) -> None:
    """Readers are told the cause."""

    def refuse() -> None:
        raise ConnectionRefusedError("no database")

    @flights.cached(ttl=60, name="needs", resources={"session": refuse})
    def needs(session: None, n: int) -> int:
        return n

    with pytest.raises(LoadFailed, match="no database"):
        needs(1)


def test_async_loads_have_async_resources(flights: Warmer) -> None:
    """Async context managers are entered, and what has aclose() is awaited."""
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def connection() -> Any:
        log.append("entered")
        yield "connected"
        log.append("left")

    class Client:
        async def aclose(self) -> None:
            log.append("closed")

    @flights.cached(ttl=60, name="used", resources={"connection": connection, "client": Client})
    async def used(connection: str, client: Client, n: int) -> str:
        return f"{connection} {n}"

    assert asyncio.run(used(1)) == "connected 1"  # type: ignore[call-arg, arg-type]  # as above
    assert log == ["entered", "closed", "left"]


def test_something_may_enclose_each_load(namespace: str, redis_url: str) -> None:
    """around_load holds what every load needs: tracing, an application's context; it sees errors pass."""
    log: list[str] = []

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        log.append("before")
        try:
            yield
        except ValueError:
            log.append("error")
            raise
        finally:
            log.append("after")

    flights = Warmer(namespace, redis_url=redis_url, around_load=around)

    @flights.cached(ttl=60, name="loaded")
    def loaded(n: int) -> int:
        log.append("load")
        if n < 0:
            raise ValueError(n)
        return n

    assert loaded(1) == loaded(1) == 1
    with pytest.raises(LoadFailed):
        loaded(-1)
    flights.close()

    assert log == ["before", "load", "after", "before", "load", "error", "after"]


def test_queries_inside_a_load_go_past_the_cache(flights: Warmer) -> None:
    """An inner query's value may be older than the outer lease: inside a load its function is called."""
    inner_loads = 0

    @flights.cached(ttl=60, name="inner")
    def inner(n: int) -> int:
        nonlocal inner_loads
        inner_loads += 1
        return inner_loads

    @flights.cached(ttl=60, name="outer")
    def outer(n: int) -> list[int]:
        return [inner(n), inner.bind(n).get(), inner.read(n).value, *inner.get_many([(n,), {"n": n}])]

    assert inner(1) == 1
    assert outer(1) == [2, 3, 4, 5, 6]
    assert inner(1) == 1, "nothing of that was stored"


def test_async_queries_inside_an_async_load_go_past_the_cache(flights: Warmer) -> None:
    """The same, awaited."""
    inner_loads = 0

    @flights.cached(ttl=60, name="inner")
    async def inner(n: int) -> int:
        nonlocal inner_loads
        inner_loads += 1
        return inner_loads

    @flights.cached(ttl=60, name="outer")
    async def outer(n: int) -> list[int]:
        return [await inner(n), await inner.bind(n).aget(), *await inner.aget_many([(n,)])]

    async def both() -> tuple[int, list[int]]:
        return await inner(1), await outer(1)

    assert asyncio.run(both()) == (1, [2, 3, 4])


def test_an_outer_value_goes_with_the_tags_of_inner_ones(flights: Warmer) -> None:
    """What a load called depends on, the load's value depends on, too."""
    loads = 0

    @flights.cached(ttl=60, name="inner", tags=("month:{month}",))
    def inner(month: int) -> int:
        return month

    @flights.cached(ttl=60, name="outer")
    def outer(year: int) -> int:
        nonlocal loads
        loads += 1
        return inner(3) + loads

    assert outer(2013) == 4
    assert flights.invalidate_tags("month:3") == 1
    assert outer(2013) == 5


def test_a_load_may_add_tags(flights: Warmer) -> None:
    """flights.tag inside a load names what was found there; it is checked against the fence like the
    others.
    """
    loads = 0

    @flights.cached(ttl=60, name="history")
    def history(plane: str) -> int:
        nonlocal loads
        loads += 1
        flights.tag("carrier:UA", "year:2013")
        return loads

    assert history("N123") == 1
    assert flights.invalidate_tags("carrier:UA") == 1
    assert history("N123") == 2
    assert flights.invalidate_tags("carrier:AA") == 0


def test_a_function_that_adds_tags_runs_outside_of_a_load_too(flights: Warmer) -> None:
    """Uncached, and under bypass, there is no value for them to stand on."""

    @flights.cached(ttl=60, name="history")
    def history(plane: str) -> str:
        flights.tag("carrier:UA")
        return plane

    assert history.fn("N123") == "N123"
    with bypass():
        assert history("N123") == "N123"
    assert flights.invalidate_tags("carrier:UA") == 0


def test_the_function_itself_is_there(flights: Warmer) -> None:
    """fn runs the function with its resources, uncached, in the caller's own context."""
    loads: list[str] = []

    @flights.cached(ttl=60, name="plain", resources={"session": lambda: Session(loads)})
    def plain(session: Session, n: int) -> int:
        loads.append(request.get())
        return n

    request.set("mine")

    assert (plain.fn(1), plain.fn(1)) == (1, 1)
    assert loads == ["mine", "closed", "mine", "closed"]


def test_a_load_that_leaves_a_thread_behind_does_not_hold_anybody_up(flights: Warmer) -> None:
    """A value is there when its function returns, whatever it has started."""
    release = threading.Event()
    helpers: list[threading.Thread] = []

    @flights.cached(ttl=60, name="starts")
    def starts() -> int:
        helpers.append(threading.Thread(target=release.wait, args=(20,)))
        helpers[0].start()
        return 1

    assert starts() == 1
    release.set()
    helpers[0].join()


def test_values_are_copies(flights: Warmer) -> None:
    """Who changes what a read gave changes nothing for the next reader, not even for those of one load."""

    @flights.cached(ttl=60, name="rows")
    def rows() -> list[int]:
        return [1, 2, 3]

    got: list[Callable[[], list[int]]] = [rows, rows, rows]
    for read in got:
        value = read()
        assert value == [1, 2, 3]
        value.append(4)
