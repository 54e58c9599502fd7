"""Loads that fail, hang or give what can't be stored: who is told, who tries again, and when."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from tests.board import Board, value_of
from warmer import LoadFailed, LoadTimeout, WaitTimeout, Warmer, WarmerError
from warmer.errors import ResultNotStorable, ResultTooLarge
from warmer.store.report import stale_members
from warmer.testing import Clock, wait_until

Start = Callable[..., Future[Any]]


@pytest.mark.usefixtures("long_back_off")
def test_a_failed_load_is_told_to_all_who_wait_and_repeated_by_none(board: Board, start: Start) -> None:
    """Fifty readers, one load, one failure: each gets an error of its own that names the cause."""
    gate = board.hold(1)
    board.fail(1, ValueError("no such airport"))
    readings = [start(board.departures, "JFK")]
    gate.wait_entered()
    readings += [start(board.departures, "JFK") for _ in range(49)]
    board.wait_joined(49)

    gate.open()

    errors = [reading.exception(20) for reading in readings]
    assert board.loads == 1
    assert all(isinstance(error, LoadFailed) for error in errors)
    assert {(e.cause_class, e.cause_message) for e in errors if isinstance(e, LoadFailed)} == {
        ("ValueError", "no such airport")
    }
    assert len({id(error) for error in errors}) == 50, (
        "an error that is raised twice grows a second traceback"
    )


def test_the_reader_whose_load_failed_sees_the_cause_itself(board: Board) -> None:
    """In the process that loaded, the error is chained to what the function raised."""
    cause = ValueError("no such airport")
    board.fail(1, cause)

    with pytest.raises(LoadFailed) as caught:
        board.departures("JFK")

    assert caught.value.__cause__ is cause
    assert caught.value.retry_in_s > 0


@pytest.mark.parametrize("keep_warm", [False, True])
def test_what_failed_is_stale_though_nobody_keeps_it_warm(
    make_board: Callable[..., Board], keep_warm: bool
) -> None:
    """A failure by hand is found again by `warm --stale`, and once, whether it is kept warm or not."""
    board = make_board(keep_warm=keep_warm)
    store, reading = board.runtime.store, board.departures._reading
    board.departures("JFK")
    board.departures.invalidate("JFK")
    board.fail(2, ValueError("no such airport"))
    with pytest.raises(LoadFailed):
        board.departures.refresh("JFK")

    kept = sum(map(len, store.indexed(0, reading.name)))
    assert kept == keep_warm
    assert stale_members(store, reading) == [{"airport": "JFK"}]


def test_a_traceback_that_a_reader_gets_is_not_logged_as_well(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has one line; whoever reports the reader's error has the cause in it."""
    board.fail(1, ValueError("no such airport"))

    with pytest.raises(LoadFailed):
        board.departures("JFK")

    failed = [record for record in caplog.records if "loading departures(JFK) failed" in record.message]
    assert [record.exc_info for record in failed] == [None]


def test_a_failure_that_nobody_is_told_of_is_logged_with_its_traceback(
    make_board: Callable[..., Board], warmer_clock: Callable[..., Clock], caplog: pytest.LogCaptureFixture
) -> None:
    """Who is served stale instead sees no error: what went wrong stands in the log alone."""
    board = make_board(ttl=10, grace=1000, soft_timeout=10)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    board.fail(2, ValueError("no such airport"))
    clock.advance(15)

    assert board.departures("JFK") == 1
    assert "ValueError: no such airport" in caplog.text


def test_an_error_that_reaches_readers_pickles(board: Board) -> None:
    """It may cross processes with its fields."""
    board.fail(1, ValueError("no such airport"))
    with pytest.raises(LoadFailed) as caught:
        board.departures("JFK")

    copy = pickle.loads(pickle.dumps(caught.value))

    assert isinstance(copy, LoadFailed)
    assert copy.args == caught.value.args


@pytest.mark.usefixtures("long_back_off")
def test_secrets_in_a_cause_are_masked(board: Board) -> None:
    """A database's message with a password in its URL reaches nobody, in this process or another."""
    board.fail(1, RuntimeError("can't connect to postgresql://app:hunter2@db/flights"))

    for _ in range(2):  # by hand, and from the record of the failure
        with pytest.raises(LoadFailed) as caught:
            board.departures("JFK")
        assert "hunter2" not in str(caught.value)
        assert "app:***@db" in str(caught.value)


@pytest.mark.usefixtures("long_back_off")
def test_a_failing_query_is_left_alone_during_its_back_off(board: Board) -> None:
    """Readers after a failure are told at once, without a load."""
    board.fail(1, ValueError("no"))
    for _ in range(5):
        with pytest.raises(LoadFailed):
            board.departures("JFK")

    assert board.loads == 1


def test_the_back_off_ends(make_board: Callable[..., Board], warmer_clock: Callable[..., Clock]) -> None:
    """When it is over, the next reader loads."""
    board = make_board()
    clock = warmer_clock(board.flights)
    board.fail(1, ValueError("no"))
    with pytest.raises(LoadFailed):
        board.departures("JFK")

    clock.advance(2)

    assert board.departures("JFK") == 2


@pytest.mark.parametrize("how", ["entry", "query", "part", "tag"])
def test_an_invalidation_ends_the_back_off(board: Board, how: str) -> None:
    """What failed before an invalidation is tried again by the next reader."""
    board.fail(1, ValueError("no"))
    with pytest.raises(LoadFailed):
        board.departures("JFK")

    match how:
        case "entry":
            board.departures.invalidate("JFK")
        case "query":
            board.departures.invalidate_all()
        case "part":
            board.departures.invalidate_where(airport="JFK")
        case _:
            board.flights.invalidate_tags("all")

    assert board.departures("JFK") == 2


def test_a_refresh_by_hand_tries_again_at_once(board: Board) -> None:
    """Who calls refresh wants to know now, back-off or not."""
    board.fail(1, ValueError("no"))
    with pytest.raises(LoadFailed):
        board.departures("JFK")

    assert board.departures.refresh("JFK") == 2


def test_a_failure_of_one_entry_is_none_of_another(board: Board) -> None:
    """The back-off belongs to the entry."""
    board.fail(1, ValueError("no"))
    with pytest.raises(LoadFailed):
        board.departures("JFK")

    assert board.departures("EWR") == 2


def test_a_stale_value_is_served_through_failures(
    make_board: Callable[..., Board], warmer_clock: Callable[..., Clock]
) -> None:
    """Within grace, readers get the old value while refreshes fail in the background."""
    board = make_board(ttl=10, grace=1000)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    board.fail(2, ValueError("no"))
    clock.advance(15)

    assert board.departures("JFK") == 1
    wait_until(lambda: board.count("loads_failed") == 1, description="the refresh to fail")
    again = board.departures.read("JFK")

    assert (again.value, again.state, again.fresh) == (1, "stale", False)


@pytest.mark.usefixtures("long_back_off")
def test_a_load_past_its_timeout_is_given_up(make_board: Callable[..., Board], start: Start) -> None:
    """A load that does not return costs its readers the query's timeout, is not stored, and is told as
    such.
    """
    board = make_board(timeout=0.3)
    gate = board.hold(1)

    with pytest.raises(LoadTimeout) as caught:
        board.departures("JFK")

    assert caught.value.timeout_s == 0.3
    with pytest.raises(LoadFailed, match="LoadTimeout"):
        board.departures("JFK")
    gate.open()
    wait_until(lambda: board.running == 0, description="the load to return at last")
    board.departures.invalidate("JFK")
    assert board.departures("JFK") == 2


def test_a_hung_load_does_not_keep_the_next_one_out(make_board: Callable[..., Board], start: Start) -> None:
    """After its timeout a hung load holds neither the lease nor a load slot."""
    board = make_board(timeout=0.3, settings={"max_loads": 1, "redis_away_loads": 1})
    board.hold(1)
    with pytest.raises(LoadTimeout):
        board.departures("JFK")
    board.departures.invalidate("JFK")

    assert board.departures("JFK") == 2
    assert board.departures("EWR") == 3


def test_a_timeout_that_the_function_raises_is_a_failure_like_others(board: Board) -> None:
    """A driver's TimeoutError is not the query's timeout: readers see its own words."""
    board.fail(1, TimeoutError("the database took too long"))

    with pytest.raises(LoadFailed) as caught:
        board.departures("JFK")

    assert (caught.value.cause_class, caught.value.cause_message) == (
        "TimeoutError",
        "the database took too long",
    )


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()])
def test_nothing_that_a_load_raises_gets_past_its_readers(board: Board, error: BaseException) -> None:
    """A load that wants to end the process ends itself only, and its readers are told."""
    board.fail(1, error)

    with pytest.raises(LoadFailed, match=type(error).__name__):
        board.departures("JFK")


def test_a_wait_for_another_s_load_ends(make_board: Callable[..., Board], start: Start) -> None:
    """A reader waits no longer than `wait` for a load under way; that load goes on."""
    board = make_board(wait=0.3)
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()

    with pytest.raises(WaitTimeout) as caught:
        board.departures("JFK")

    assert 0.3 <= caught.value.waited_s < 5
    gate.open()
    assert value_of(first) == 1, "who began the load waits for its timeout, not for `wait`"
    assert board.departures("JFK") == 1


@pytest.mark.usefixtures("long_back_off")
def test_a_result_that_does_not_fit_is_an_error_of_the_load(flights: Warmer) -> None:
    """A function that returns what its annotation denies fails where it is loaded, and backs off like any
    other.
    """
    loads = 0

    @flights.cached(ttl=60, name="wrong")
    def wrong(n: int) -> int:
        nonlocal loads
        loads += 1
        return "three"  # type: ignore[return-value]  # wrong on purpose

    with pytest.raises(ResultNotStorable):
        wrong(3)
    with pytest.raises(LoadFailed, match="ResultNotStorable"):
        wrong(3)

    assert loads == 1


def test_a_result_that_is_too_large_is_an_error_of_the_load(namespace: str, redis_url: str) -> None:
    """Nothing of it is stored, and the message names both sizes."""
    flights = Warmer(namespace, redis_url=redis_url, max_value_bytes=1024, compress_over=1 << 20)

    @flights.cached(ttl=60, name="large")
    def large() -> str:
        return "x" * 5000

    with pytest.raises(ResultTooLarge, match="1,024"):
        large()

    assert large.bind().entry() is None
    flights.close()


@pytest.mark.usefixtures("long_back_off")
def test_an_error_without_a_text_or_with_an_odd_one_is_told(board: Board) -> None:
    """Whatever an error says of itself, its readers get one of ours."""

    class Odd(Exception):
        def __str__(self) -> str:
            return "line one\nline two: " + "x" * 5000

    board.fail(1, Odd())
    board.fail(2, KeyError())

    with pytest.raises(WarmerError, match="line two"):
        board.departures("JFK")
    with pytest.raises(WarmerError, match="line two"):
        board.departures("JFK")
    with pytest.raises(LoadFailed, match="KeyError"):
        board.departures("EWR")
    with pytest.raises(LoadFailed, match="KeyError"):
        board.departures("EWR")


def test_an_error_whose_text_can_not_be_made_is_told(board: Board) -> None:
    """An error with a broken __str__ does not leave its readers waiting."""

    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    board.fail(1, Broken())

    with pytest.raises(LoadFailed, match="Broken"):
        board.departures("JFK")


def test_loads_keep_their_distance(
    make_board: Callable[..., Board], warmer_clock: Callable[..., Clock]
) -> None:
    """With min_interval a further load begins only when that much has passed since the last one began."""
    board = make_board(min_interval=60, wait=0.2)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    board.departures.invalidate("JFK")

    with pytest.raises(WaitTimeout):
        board.departures("JFK")
    clock.advance(61)

    assert board.departures("JFK") == 2


def test_followers_of_a_load_do_not_mind_the_distance(make_board: Callable[..., Board], start: Start) -> None:
    """A reader of another process waits for the first load of an entry with min_interval, and gets its
    value.
    """
    board, other = make_board(min_interval=60), make_board(min_interval=60)
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()
    follower = start(other.departures, "JFK")
    other.wait_joined(1)

    gate.open()

    assert value_of(first) == value_of(follower) == 1
    assert other.loads == 0


def test_more_loads_than_slots_take_turns(make_board: Callable[..., Board], start: Start) -> None:
    """No more than max_loads run at once; the others follow."""
    board = make_board(settings={"max_loads": 2, "redis_away_loads": 2})
    readings = [start(board.departures, f"A{number}") for number in range(20)]

    assert sorted(value_of(reading) for reading in readings) == list(range(1, 21))
    assert board.most_running <= 2


def test_a_reader_without_a_slot_sees_what_others_store(
    make_board: Callable[..., Board], start: Start
) -> None:
    """While every slot is taken, a value that another process stores is read, and no load waits for."""
    board, other = make_board(settings={"max_loads": 1, "redis_away_loads": 1}), make_board()
    gate = board.hold(1)
    blocker = start(board.departures, "JFK")
    gate.wait_entered()
    reading = start(board.departures, "EWR")
    board.wait_joined(1)

    assert other.departures("EWR") == 1

    assert value_of(reading) == 1
    assert board.loads == 1
    gate.open()
    value_of(blocker)


def test_a_broken_pool_of_connections_does_not_hang_a_load(
    make_board: Callable[..., Board], start: Start
) -> None:
    """With all connections in use elsewhere, a reader waits for one, and is told if none comes free."""
    board = make_board(settings={"max_connections": 2, "command_timeout": 0.3, "lease": 2.0})
    connections = board.runtime.store.connections
    taken = [connections.take() for _ in range(2)]

    assert board.departures("JFK") == 1, "it was loaded, and stored nowhere"

    for link in taken:
        connections.give(link)
    assert board.departures("JFK") == 2
    assert threading.active_count() < 60
