"""Who may have whose value: readers, loads and invalidations of one process, interleaved on purpose."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from warmer import RedisUnreachable
from warmer.errors import NamespaceClosed

Start = Callable[..., Future[Any]]


def test_fifty_readers_of_a_cold_entry_cost_one_load(board: Board, start: Start) -> None:
    """However many threads miss at once, one of them loads and all get its value."""
    gate = board.hold(1)
    readings = [start(board.departures, "JFK")]
    gate.wait_entered()
    readings += [start(board.departures, "JFK") for _ in range(49)]
    board.wait_joined(49)

    gate.open()

    assert {value_of(reading) for reading in readings} == {1}
    assert board.loads == 1


def test_a_stampede_without_a_hold_costs_one_load(board: Board, start: Start) -> None:
    """Readers that come while a quick load ends get that one's value, however they fall."""
    readings = [start(board.departures, "JFK") for _ in range(50)]

    assert {value_of(reading) for reading in readings} == {1}


def test_who_began_before_a_load_has_its_value_though_it_is_refused(board: Board, start: Start) -> None:
    """The reader that a load was begun for gets its value by hand: it began before the invalidation, too."""
    gate = board.hold(1)
    reading = start(board.departures, "JFK")
    gate.wait_entered()

    board.departures.invalidate("JFK")
    gate.open()

    assert value_of(reading) == 1
    assert board.departures.bind("JFK").entry() is None, "it was not stored"


def test_who_comes_after_an_invalidation_gets_no_load_from_before(board: Board, start: Start) -> None:
    """A reader that joins during a load that an invalidation has hit waits for none of it: it loads anew."""
    gate = board.hold(1)
    before = start(board.departures, "JFK")
    gate.wait_entered()
    board.departures.invalidate("JFK")

    after = value_of(start(board.departures, "JFK"))
    gate.open()

    assert after == 2, "loaded while the first one was still under way"
    assert value_of(before) == 1
    assert board.departures("JFK") == 2


def test_who_joins_a_load_that_is_hit_later_gets_the_next_one(board: Board, start: Start) -> None:
    """A reader that joined a running load before the invalidation may have neither its value nor wait on."""
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()
    joined = start(board.departures, "JFK")
    board.wait_joined(1)

    board.departures.invalidate("JFK")

    assert value_of(joined) == 2
    gate.open()
    assert value_of(first) == 1


def test_a_late_joiner_of_a_good_load_gets_what_was_stored(board: Board, start: Start) -> None:
    """Without an invalidation, a reader that joins a running load reads what it has committed."""
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()
    joined = start(board.departures.read, "JFK")
    board.wait_joined(1)

    gate.open()

    assert value_of(first) == 1
    assert value_of(joined).value == 1
    assert value_of(joined).waited > 0
    assert board.loads == 1


def test_an_invalidation_by_tag_ends_a_load_under_way(board: Board, start: Start) -> None:
    """The fence hits a load of an entry that no list knows yet, whichever name is invalidated."""
    gate = board.hold(1)
    before = start(board.departures, "JFK")
    gate.wait_entered()
    board.flights.invalidate_tags("all")

    after = value_of(start(board.departures, "JFK"))
    gate.open()

    assert after == 2
    assert value_of(before) == 1
    assert board.departures("JFK") == 2


def test_a_third_load_waits_for_one_of_two(board: Board, start: Start) -> None:
    """Two invalidations during two loads: a third load begins only when one of them has ended."""
    board.hold(1, 2)
    first = start(board.departures, "JFK")
    board.gates[1].wait_entered()
    board.departures.invalidate("JFK")
    second = start(board.departures, "JFK")
    board.gates[2].wait_entered()
    board.departures.invalidate("JFK")
    third = start(board.departures, "JFK")
    board.wait_joined(1)

    assert board.loads == 2
    board.gates[1].open()

    assert value_of(third) == 3
    board.gates[2].open()
    assert (value_of(first), value_of(second)) == (1, 2)
    assert board.most_running == 2
    assert board.departures("JFK") == 3


def test_a_refresh_loads_again_after_a_load_that_began_before_it(board: Board, start: Start) -> None:
    """A refresh that finds a load under way waits for it, and then loads: its value began after the call."""
    gate = board.hold(1)
    reading = start(board.departures, "JFK")
    gate.wait_entered()
    refresh = start(board.departures.refresh, "JFK")
    board.wait_joined(1)

    gate.open()

    assert value_of(reading) == 1
    assert value_of(refresh) == 2
    assert board.departures("JFK") == 2


def test_refreshes_that_wait_together_share_one_load(board: Board, start: Start) -> None:
    """Ten refreshes called during a load cost one more load."""
    gate = board.hold(1)
    start(board.departures, "JFK")
    gate.wait_entered()
    refreshes = [start(board.departures.refresh, "JFK") for _ in range(10)]
    board.wait_joined(10)

    gate.open()

    assert {value_of(refresh) for refresh in refreshes} == {2}
    assert board.loads == 2


def test_a_refresh_leaves_no_hole(board: Board, start: Start) -> None:
    """While an entry is refreshed, others read the old value without waiting."""
    board.departures("JFK")
    gate = board.hold(2)
    refresh = start(board.departures.refresh, "JFK")
    gate.wait_entered()

    during = board.departures.read("JFK")
    gate.open()

    assert (during.value, during.state, during.waited) == (1, "fresh", 0.0)
    assert value_of(refresh) == 2


def test_readers_of_a_read_that_goes_wrong_are_all_told(
    board: Board, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no thread can be started for a load, its readers get an error, and the entry is not blocked."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("warmer.runtime.loads.LoadThread.start", refuse)
        with pytest.raises(Exception, match="can't start new thread"):
            board.departures("JFK")

    board.departures.invalidate("JFK")
    assert board.departures("JFK") == 1


def test_a_lease_that_was_granted_in_a_lost_reply_is_found_again(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the answer to a question never came, the process asks again with the same token, and is not in its
    own way.
    """
    store = board.runtime.store
    acquire = store.acquire

    def lose_the_reply(*args: Any, **kwargs: Any) -> Any:
        assert acquire(*args, **kwargs).kind == "granted"
        raise RedisUnreachable("redis://somewhere", "the reply was lost")

    with monkeypatch.context() as patched:
        patched.setattr(store, "acquire", lose_the_reply)
        assert board.departures("JFK") == 1, "loaded past the server"

    entry = board.departures.read("JFK")

    assert (entry.value, entry.state) == (2, "loaded")
    assert entry.waited < 5, "a lease lasts 10 s"
    assert board.departures("JFK") == 2


def test_a_closed_namespace_tells_who_waits(board: Board, start: Start) -> None:
    """Readers that wait when their namespace is closed get an error that says so, not an endless wait."""
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()
    joined = start(board.departures, "JFK")
    board.wait_joined(1)

    board.flights.close()

    for reading in (first, joined):
        assert isinstance(reading.exception(10), NamespaceClosed)
    gate.open()
    board.departures.invalidate("JFK")
    assert board.departures("JFK") == 2, "the next read opens it again"
