"""Sync reads inside a running event loop: they work, and say what to write instead."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable

import pytest

from tests.board import Board
from warmer import WarmerWarning
from warmer.runtime.handover import Handover


@pytest.fixture
def waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No load is over before it is waited for, however late the reader goes on."""
    monkeypatch.setattr(Handover, "done", lambda _: False)


def _warned(call: Callable[[], object], times: int = 1) -> list[warnings.WarningMessage]:
    """The warnings of calls made in a loop."""

    async def in_loop() -> None:
        for _ in range(times):
            call()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(in_loop())
    return caught


@pytest.mark.usefixtures("waited_for")
@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda board: board.departures("JFK"), "aget"),
        (lambda board: board.departures.get_many([("JFK",)]), "aget_many"),
        (lambda board: board.departures.refresh("JFK"), "arefresh"),
    ],
    ids=["get", "get_many", "refresh"],
)
def test_a_sync_load_inside_a_loop_warns_and_works(
    board: Board, call: Callable[[Board], object], instead: str
) -> None:
    """With the line that called, the query, and the method to await."""
    caught = _warned(lambda: call(board))

    assert [(one.category, one.filename) for one in caught] == [(WarmerWarning, __file__)]
    assert f"`await departures.{instead}(...)`" in str(caught[0].message)
    assert board.loads == 1


@pytest.mark.usefixtures("waited_for")
def test_each_place_is_told_once(board: Board) -> None:
    """A loop of a thousand misses is one warning, and counted a thousand times."""
    airports = iter(f"A{n}" for n in range(20))

    assert len(_warned(lambda: board.departures(next(airports)), times=20)) == 1
    assert board.count("loops_blocked") == 20


def test_a_hit_inside_a_loop_is_not_looked_at(board: Board) -> None:
    """It blocks for one GET, and pays for no check."""
    board.departures("JFK")

    assert _warned(lambda: board.departures("JFK")) == []


def test_neither_threads_nor_async_reads_warn(board: Board) -> None:
    """Where no loop runs in the thread, or the read is awaited, all is well."""

    async def well() -> None:
        await board.departures.aget("JFK")
        await asyncio.to_thread(board.departures, "EWR")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(well())
    assert caught == []


@pytest.mark.usefixtures("waited_for")
def test_the_warning_can_be_made_an_error(board: Board) -> None:
    """As any of Python's: a test suite that wants none has none."""

    async def badly() -> None:
        board.departures("JFK")

    with warnings.catch_warnings():
        warnings.simplefilter("error", WarmerWarning)
        with pytest.raises(WarmerWarning):
            asyncio.run(badly())
