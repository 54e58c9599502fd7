"""A batch loader: one call for what a get_many misses, and everything else as for loads one by one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import value_of
from tests.patience import PATIENCE_S
from warmer import LoadFailed, Query, Warmer
from warmer.errors import BatchMismatch, InvalidOption
from warmer.testing import wait_until

Start = Callable[..., Future[Any]]


class Loader:
    """A query with a batch loader, whose calls it keeps; while `gate` is shut, they wait there."""

    def __init__(self, flights: Warmer, **options: Any) -> None:
        self.batches: list[list[tuple[str]]] = []
        self.singles: list[str] = []
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()
        self.answer: Callable[[list[tuple[str]]], Any] = lambda calls: [a.lower() for (a,) in calls]

        def departures(airport: str) -> str:
            self.singles.append(airport)
            return airport.lower()

        options = {"ttl": 60, "name": "departures", "version": "v", "batch": self.load, **options}
        self.departures: Query[[str], str] = flights.cached(**options)(departures)

    def load(self, calls: list[tuple[str]]) -> Any:
        self.batches.append(calls)
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        return self.answer(calls)


@pytest.fixture
def loader(flights: Warmer) -> Iterator[Loader]:
    """A query with a batch loader."""
    made = Loader(flights)
    yield made
    made.gate.set()


@pytest.fixture(params=["get_many", "aget_many"])
def get_many(request: pytest.FixtureRequest, loader: Loader) -> Callable[[list[Any]], list[str]]:
    """`get_many` and `aget_many` in turn."""
    if request.param == "get_many":
        return loader.departures.get_many
    return lambda calls: asyncio.run(loader.departures.aget_many(calls))


def test_what_is_missing_is_loaded_in_one_call(
    loader: Loader, get_many: Callable[[list[Any]], list[str]]
) -> None:
    """Hits are left out, repeats are asked for once, and the values are in the order of the calls."""
    assert loader.departures("B") == "b"

    got = get_many([("A",), ("B",), ("C",), ("A",), {"airport": "D"}])

    assert got == ["a", "b", "c", "a", "d"]
    assert [sorted(calls) for calls in loader.batches] == [[("A",), ("C",), ("D",)]]
    assert loader.singles == ["B"]
    assert get_many([("A",), ("D",)]) == ["a", "d"]
    assert len(loader.batches) == 1


def test_many_more_than_there_are_places_for_loads_are_one_call(flights: Warmer) -> None:
    """A batch takes one place, however many entries are in it."""
    loader = Loader(flights)
    calls = [(f"A{number}",) for number in range(200)]

    assert loader.departures.get_many(calls) == [f"a{number}" for number in range(200)]
    assert [len(calls) for calls in loader.batches] == [200]


def test_one_that_is_missing_is_loaded_alone(loader: Loader) -> None:
    """For a single miss the query's own function is called."""
    assert loader.departures.get_many([("A",)]) == ["a"]
    assert (loader.batches, loader.singles) == ([], ["A"])


def test_what_somebody_else_loads_is_left_to_them(loader: Loader, flights: Warmer, start: Start) -> None:
    """An entry under another's lease is waited for, and not loaded a second time."""
    loader.gate.clear()
    first = start(loader.departures.get_many, [("A",), ("B",)])
    assert loader.entered.wait(PATIENCE_S)
    loader.entered.clear()
    second = start(loader.departures.get_many, [("B",), ("C",), ("D",)])
    assert loader.entered.wait(PATIENCE_S)
    loader.gate.set()

    assert (value_of(first), value_of(second)) == (["a", "b"], ["b", "c", "d"])
    assert sorted(call for calls in loader.batches for call in calls) == [("A",), ("B",), ("C",), ("D",)]


def test_each_entry_is_committed_by_its_own_fence(loader: Loader, start: Start) -> None:
    """An invalidation of one entry in mid-load refuses that one, and the others are stored."""
    loader.gate.clear()
    reading = start(loader.departures.get_many, [("A",), ("B",), ("C",)])
    assert loader.entered.wait(PATIENCE_S)
    loader.departures.invalidate("B")
    loader.gate.set()

    assert value_of(reading) == ["a", "b", "c"], "it began before the invalidation"
    assert [loader.departures.bind(airport).entry() is None for airport in "ABC"] == [False, True, False]


def test_a_batch_that_fails_fails_for_all_of_it(loader: Loader) -> None:
    """Its error reaches the reader, and nothing is stored."""

    def fail(calls: list[tuple[str]]) -> Any:
        raise ValueError("no")

    loader.answer = fail

    with pytest.raises(LoadFailed, match="ValueError"):
        loader.departures.get_many([("A",), ("B",)])
    assert loader.departures.bind("A").entry() is None


def test_one_of_a_batch_may_fail(loader: Loader) -> None:
    """An exception in the place of a result is that entry's failure; the others are stored."""
    loader.answer = lambda calls: [ValueError("no") if a == "B" else a.lower() for (a,) in calls]

    with pytest.raises(LoadFailed, match="ValueError"):
        loader.departures.get_many([("A",), ("B",)])
    wait_until(lambda: loader.departures.bind("A").entry() is not None, description="the other to be stored")


@pytest.mark.parametrize("answer", [["a"], ["a", "b", "c"], None, {"A": "a", "B": "b"}])
def test_a_batch_that_gives_another_number_of_results_is_an_error(loader: Loader, answer: Any) -> None:
    """It says how many were asked for, and stores nothing: whose result is whose is not known."""
    loader.answer = lambda calls: answer

    with pytest.raises(BatchMismatch, match="given 2 calls"):
        loader.departures.get_many([("A",), ("B",)])
    assert loader.departures.bind("A").entry() is None


def test_an_async_batch_with_a_resource(flights: Warmer) -> None:
    """Resources are opened for it as for a load, once, and an async loader is awaited."""
    opened: list[str] = []

    def session() -> str:
        opened.append("session")
        return "s"

    async def load_many(session: str, calls: list[tuple[str]]) -> list[str]:
        await asyncio.sleep(0)
        return [session + airport for (airport,) in calls]

    @flights.cached(ttl=60, name="with_session", resources={"session": session}, batch=load_many)
    async def departures(session: str, airport: str) -> str:
        return session + airport

    assert asyncio.run(departures.aget_many([("A",), ("B",)])) == ["sA", "sB"]
    assert opened == ["session"]


def test_a_batch_loader_is_a_function(flights: Warmer) -> None:
    """Anything else is an error where the query is declared."""
    with pytest.raises(InvalidOption, match="batch"):
        Loader(flights, batch="load")
