"""Near copies: served here, gone when anybody changes the entry, never for longer than they may."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import redis

from tests.board import Board
from tests.near_board import copy_of, is_near, keep_near, kill_tracking, read_until_near
from tests.remote_board import RemoteBoard
from warmer import Warmer
from warmer.errors import IdentityRefused
from warmer.store.operations import Found
from warmer.testing import Clock, wait_until

Make = Callable[..., Board]


@dataclass
class Row:
    number: int


@dataclass
class Picky:
    refusals: ClassVar[int] = 0
    number: int
    name: str = ""

    def __post_init__(self) -> None:
        if Picky.refusals:
            Picky.refusals -= 1
            raise ValueError("not now")


@dataclass
class Marked:
    number: int
    made: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        self.made += 1


@pytest.fixture
def near(make_board: Make) -> Board:
    """A query whose entries are kept near for a minute."""
    return make_board(near=60)


def test_a_hot_entry_is_read_without_the_server(near: Board, redis_url: str) -> None:
    """Once there is a copy, reads in every form are answered from it, and the server is asked nothing."""
    read_until_near(near)
    one = near.departures.bind("JFK")
    with redis.Redis.from_url(redis_url) as client:
        near.runtime._ticker.stop()
        before = client.info("commandstats").get("cmdstat_get", {}).get("calls", 0)
        hits = near.runtime.near.hits

        values = [near.departures("JFK"), one.get(), near.departures.read("JFK").value]
        values += near.departures.get_many([("JFK",)])
        values += [asyncio.run(near.departures.aget("JFK"))]

        assert values == [1] * 5
        assert near.runtime.near.hits == hits + 5
        assert client.info("commandstats").get("cmdstat_get", {}).get("calls", 0) == before
    entry = near.departures.read("JFK")
    assert (entry.state, entry.stamp > 0, entry.key) == ("fresh", True, one.key)


def test_another_process_invalidates_and_the_copy_goes(near: Board, redis_url: str, namespace: str) -> None:
    """What a process keeps near goes by a message of the server, however the other one invalidates."""
    read_until_near(near)
    with RemoteBoard(redis_url, namespace, near=60) as other:
        assert other.do("read", "JFK") == 100
        for value in (2, 3, 4):
            assert other.do("invalidate", "JFK") == 1

            wait_until(lambda: copy_of(near) is None, description="the copy to go")

            assert near.departures("JFK") == value
            read_until_near(near)
    assert near.count("near_invalidations") >= 3


def test_a_commit_of_another_process_takes_the_place_of_the_copy(near: Board, make_board: Make) -> None:
    """A refresh anywhere: the next read here gets the new value."""
    read_until_near(near)
    other = make_board(near=60)
    other.departures("JFK")
    other.loads = 6

    assert other.departures.refresh("JFK") == 7

    wait_until(lambda: near.departures("JFK") == 7, description="the new value")
    assert near.loads == 1


@pytest.mark.parametrize("how", ["entry", "where", "all", "tags", "refresh"])
def test_the_process_that_wrote_sees_it_at_once(near: Board, how: str) -> None:
    """Whichever way it invalidates or refreshes, its own next read is no copy of before."""
    ways: dict[str, Callable[[], Any]] = {
        "entry": lambda: near.departures.invalidate("JFK"),
        "where": lambda: near.departures.invalidate_where(airport="JFK"),
        "all": lambda: near.departures.invalidate_all(),
        "tags": lambda: near.flights.invalidate_tags("all"),
        "refresh": lambda: near.departures.refresh("JFK"),
    }
    for _ in range(20):
        read_until_near(near)
        before = near.loads

        ways[how]()

        assert near.departures("JFK") == before + 1


def test_what_this_process_puts_it_reads(near: Board) -> None:
    """A value that a writer had at hand takes the place of the copy at once."""
    for value in (50, 60, 70):
        read_until_near(near)

        with near.departures.writing("JFK") as writing:
            writing.put(value)

        assert near.departures("JFK") == value
    assert near.loads == 1


def test_a_tag_takes_only_the_copies_under_it(make_board: Make, namespace: str) -> None:
    """Copies of other entries are served again as soon as the server has said that they did not change."""
    board = make_board(near=60, tags=("of:{airport}",))
    kept = read_until_near(board, "EWR")
    read_until_near(board, "JFK")

    board.flights.invalidate_tags("of:JFK")

    wait_until(lambda: copy_of(board, "EWR") is kept, description="what did not change to be served again")
    assert copy_of(board, "JFK") is None


def test_writers_and_readers_of_one_process_never_meet_an_old_copy(near: Board) -> None:
    """Threads that read all the time, and one that invalidates in every way in turn: no read that begins
    after it has returned is older.
    """
    newest, stale, stop = [0], list[str](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            floor = newest[0]
            value = near.departures("JFK")
            if value <= floor:
                stale.append(f"{value} after {floor} was invalidated")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(120):
        value = near.departures("JFK")
        if turn % 3 == 0:
            near.departures.invalidate("JFK")
        elif turn % 3 == 1:
            near.flights.invalidate_tags("all")
        else:
            near.departures.invalidate_all()
        newest[0] = value
    stop.set()
    for reader in readers:
        reader.join(20)

    assert stale == []
    assert near.runtime.near.hits > 0


@pytest.mark.parametrize("who", ["another process", "this process"])
def test_an_old_reply_makes_no_copy_after_the_message(near: Board, make_board: Make, who: str) -> None:
    """A GET that was answered before an invalidation and is looked at after it: the reader, who began before,
    gets the old value, and nobody after it does.
    """
    read_until_near(near, "EWR")
    assert near.departures("JFK") == 2
    store, fetch = near.runtime.store, near.runtime.store.fetch
    near.runtime.near.drop([near.departures.bind("JFK").key.encode()])
    writer = near if who == "this process" else make_board()

    def late(key: bytes, *options: Any) -> tuple[Found, bytes]:
        reply = fetch(key, *options)
        store.fetch = fetch  # type: ignore[method-assign]
        turn = near.runtime.near._copies.turn(key)
        writer.departures.invalidate("JFK")
        wait_until(lambda: near.runtime.near._copies.turn(key) != turn, description="the message")
        return reply

    store.fetch = late  # type: ignore[method-assign, assignment]

    assert near.departures("JFK") == 2
    assert copy_of(near) is None
    assert near.departures("JFK") == 3
    assert near.count("near_refusals") == 1


def test_a_cut_connection_takes_the_copies_with_it(near: Board, redis_url: str) -> None:
    """With the server there and the tracking connection killed, nothing from before is served again."""
    old = read_until_near(near)
    with redis.Redis.from_url(redis_url) as client:
        kill_tracking(client)
        wait_until(lambda: copy_of(near) is not old, description="the loss to be noticed")

        assert near.departures("JFK") == 1
        assert read_until_near(near) is not old
    assert near.count("near_drops") == 1
    assert near.loads == 1


def test_flushing_the_server_drops_every_copy(near: Board, redis_url: str) -> None:
    """FLUSHDB names no keys, and means all of them."""
    read_until_near(near)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()

        wait_until(lambda: copy_of(near) is None, description="the copy to go")
        assert near.departures("JFK") == 2


def test_what_a_caller_does_to_its_list_changes_nobody_elses(flights: Warmer) -> None:
    """Values that can be changed are decoded afresh for each reader; those that can't are shared."""

    @flights.cached(ttl=60, near=60, name="rows")
    def rows(n: int) -> list[Row]:
        return [Row(n), Row(n + 1)]

    @flights.cached(ttl=60, near=60, name="pair")
    def pair(n: int) -> tuple[int, str]:
        return (n, "x" * 5000)

    keep_near(flights, lambda: rows(1), lambda: pair(1))
    for got in (rows(1), asyncio.run(rows.aget(1)), rows.read(1).value, rows.get_many([(1,)])[0]):
        got[0].number = 99
        got.clear()

    assert rows(1) == [Row(1), Row(2)]
    assert pair(1) is pair(1)
    assert pair(1) is asyncio.run(pair.aget(1))


def test_a_copy_is_never_older_than_it_may_be(make_board: Make) -> None:
    """Not past `near` seconds since the entry was asked for, and not past the grace of the entry."""
    board, short = make_board(near=10), make_board(near=10, ttl=1, grace=2, name="short")
    before = time.monotonic()

    copy, other = read_until_near(board), read_until_near(short)

    assert before + 10 <= copy.until <= time.monotonic() + 10
    assert other.until < time.monotonic() + 3
    copy.until = copy.calm_until = time.monotonic()
    assert not is_near(board)
    assert copy_of(board) is not copy


def test_copies_follow_a_clock_that_a_test_moves(flights: Warmer, clock: Clock) -> None:
    """Past its grace an entry is gone here, too; stale, its copy is served and a refresh is asked for."""
    loads: list[int] = []

    @flights.cached(ttl=10, grace=20, near=5, name="board", keep_warm=False)
    def board(n: int) -> int:
        loads.append(n)
        return len(loads)

    near, counts = keep_near(flights, lambda: board(1)), flights.runtime().counts

    clock.advance(15)
    wait_until(lambda: board(1) and near.live, description="a copy of what is stale")

    hits = near.hits
    assert board(1) in (1, 2)
    assert near.hits > hits or len(loads) == 2
    wait_until(
        lambda: any(event.startswith("asks_") for event in counts.snapshot()),
        description="it to be asked for",
    )
    clock.advance(100)
    assert board(1) > 1


def test_reads_of_a_copy_are_tallied(near: Board) -> None:
    """What is read here is hot, though its server never sees the reads."""
    near.runtime._ticker.stop()
    read_until_near(near)
    key = near.departures.bind("JFK").key.encode()
    near.runtime.tallies.gather()
    before = near.runtime.tallies.counts.get(key, 0)

    for _ in range(10):
        near.departures("JFK")
    asyncio.run(near.departures.aget("JFK"))
    near.departures.read("JFK")

    near.runtime.tallies.gather()
    assert near.runtime.tallies.counts[key] == before + 12


def test_an_entry_that_is_due_is_asked_for_from_its_copy(near: Board) -> None:
    """A read of a copy asks for the refresh that a read of the entry would."""
    copy = read_until_near(near)
    copy.calm_until = time.monotonic()
    copy.times = (*copy.times[:6], 1.0, *copy.times[7:])

    assert is_near(near)

    wait_until(lambda: near.count("asks_unswept"), description="the scheduler to be asked")


def test_a_copy_is_only_for_who_may_read_the_entry(flights: Warmer) -> None:
    """Within another's identity a copy is refused as the entry is; each owner has copies of their own."""

    @flights.cached(ttl=60, near=60, name="trips", scope="user_id")
    def trips(user_id: int) -> str:
        return f"trips of {user_id}"

    near = keep_near(flights, lambda: trips(1), lambda: trips(2))
    hits = near.hits

    assert (trips(1), trips(2)) == ("trips of 1", "trips of 2")
    assert near.hits == hits + 2
    with flights.identity(user_id=2):
        assert trips(2) == "trips of 2"
        with pytest.raises(IdentityRefused):
            trips(1)
    flights.forget(user_id=1)
    assert trips.bind(1).key.encode() not in near.live
    wait_until(lambda: len(near.live) == 1, description="the copies of others to be served again")


def test_a_copy_of_another_owner_is_not_served(flights: Warmer) -> None:
    """Whose it says it is, is looked at on each read, as for the entry."""

    @flights.cached(ttl=60, near=60, name="trips", scope="user_id")
    def trips(user_id: int) -> str:
        return f"trips of {user_id}"

    near = keep_near(flights, lambda: trips(1), lambda: trips(2))
    one, two = (near.live[trips.bind(n).key.encode()] for n in (1, 2))

    one.times, one.value, one.front = two.times, two.value, two.front

    assert trips(1) == "trips of 1"


def test_an_async_query_is_answered_from_its_copy(flights: Warmer) -> None:
    """Awaiting it finds the copy in the caller's own event loop."""

    @flights.cached(ttl=60, near=60, name="later")
    async def later(n: int) -> list[int]:
        return [n]

    async def main() -> list[list[int]]:
        await later(1)
        near = await asyncio.to_thread(keep_near, flights)
        while not near.live:
            await later(1)
        before = near.hits
        got = [await later(1), await later.aget(1)]
        assert near.hits == before + 2
        got[0].clear()
        return [*got, await later(1)]

    assert asyncio.run(main()) == [[], [1], [1]]


def test_a_load_is_given_no_copy_of_what_it_reads(flights: Warmer) -> None:
    """A cached query that is called inside a load goes past its copy: that may be older than the load."""
    loads: list[int] = []

    @flights.cached(ttl=60, near=60, name="inner")
    def inner(n: int) -> int:
        loads.append(n)
        return len(loads)

    @flights.cached(ttl=60, near=60, name="outer")
    def outer(n: int) -> tuple[int, int]:
        return inner(n), inner.read(n).value

    keep_near(flights, lambda: inner(1))

    assert outer(1) == (2, 3)
    assert inner(1) == 1


def test_a_type_that_refuses_what_it_made_before_is_read_anew(flights: Warmer) -> None:
    """An error of the value's own type while a copy is decoded costs the copy, and reaches no reader."""

    @flights.cached(ttl=60, near=60, name="rows")
    def rows(n: int) -> list[Picky]:
        return [Picky(n)]

    ways: list[Callable[[], list[Picky]]] = [
        lambda: rows(1),
        lambda: rows.read(1).value,
        lambda: asyncio.run(rows.aget(1)),
    ]
    for read in ways:
        keep_near(flights, lambda: rows(1))
        Picky.refusals = 1

        assert read() == [Picky(1)]
        assert Picky.refusals == 0


def test_what_is_made_for_a_reader_is_what_decoding_makes(flights: Warmer) -> None:
    """Code that changes what it is given, where nothing compares it, is given what is stored each time."""

    @flights.cached(ttl=60, near=60, name="rows")
    def rows(n: int) -> list[Marked]:
        return [Marked(n)]

    decoded = [one.made for one in rows(1)]
    keep_near(flights, lambda: rows(1))

    assert [[one.made for one in rows(1)] for _ in range(3)] == [decoded] * 3


def test_no_more_is_kept_near_than_the_settings_say(make_board: Make) -> None:
    """By entries, and by bytes: 0 keeps nothing."""
    board = make_board(near=60, settings={"near_max_entries": 5})
    for number in range(20):
        read_until_near(board, f"A{number}")
    nothing = make_board(near=60, settings={"near_max_bytes": 0})
    wait_until(lambda: nothing.departures("JFK") and nothing.count("near_refusals"), description="a refusal")

    assert len(board.runtime.near.live) == 5
    assert board.count("near_evictions") == 15
    assert not nothing.runtime.near.live


def test_without_near_nobody_listens(board: Board, redis_url: str) -> None:
    """A process none of whose queries are kept near has neither the connection nor the thread."""
    board.departures("JFK")

    with redis.Redis.from_url(redis_url) as client:
        assert kill_tracking(client) == 0
    assert "warmer-near" not in {thread.name for thread in threading.enumerate()}


def test_closing_ends_the_thread(near: Board) -> None:
    """And the next use begins anew."""
    read_until_near(near)
    [thread] = [one for one in threading.enumerate() if one.name == "warmer-near"]

    near.flights.close()

    assert not thread.is_alive()
    read_until_near(near)
    assert near.loads == 1


def test_a_query_declared_later_is_heard_of_on_the_same_connection(flights: Warmer) -> None:
    """Its entries are kept near, too, and what was kept before stays."""

    @flights.cached(ttl=60, near=60, name="first")
    def first(n: int) -> int:
        return n

    near = keep_near(flights, lambda: first(1))
    [copy] = near.live.values()

    @flights.cached(ttl=60, near=60, name="second")
    def second(n: int) -> int:
        return n

    keep_near(flights, lambda: second(1))
    second.invalidate(1)
    assert list(near.live.values()) == [copy]
    assert flights.runtime().counts.snapshot().get("near_drops", 0) == 0
