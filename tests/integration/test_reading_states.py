"""What a read gives by the age of the entry, and what it asks for beside."""

from __future__ import annotations

import struct
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import redis

from tests.board import Board, value_of
from warmer import CacheMiss, WaitTimeout, Warmer
from warmer.core.header import COMPRESSED, HEADER_SIZE, OWNED, SHORT
from warmer.driving import drive
from warmer.errors import InvalidOption
from warmer.reading import MISSED
from warmer.testing import Clock, wait_until

MakeBoard = Callable[..., Board]
MakeClock = Callable[..., Clock]
Start = Callable[..., Future[Any]]

DUE_AFTER_OFFSET = 36  # of an entry's header


def test_a_miss_is_loaded_and_a_hit_is_not(board: Board) -> None:
    """The first read loads; the next ones get what is stored, with its age."""
    first = board.departures.read("JFK")
    second = board.departures.read("JFK")

    assert (first.value, first.state) == (1, "loaded")
    assert first.waited > 0
    assert (second.value, second.state, second.fresh, second.waited) == (1, "fresh", True, 0.0)
    assert 0 <= second.age < 30
    assert second.stamp == first.stamp > 0
    assert second.cost >= 0
    assert second.key == board.departures.bind("JFK").key


def test_a_stale_entry_is_served_and_refreshed_behind(make_board: MakeBoard, warmer_clock: MakeClock) -> None:
    """Past its ttl an entry is served without waiting; with no scheduler alive, a reader refreshes it."""
    board = make_board(ttl=10, grace=100)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    clock.advance(20)

    stale = board.departures.read("JFK")

    assert (stale.value, stale.state, stale.waited) == (1, "stale", 0.0)
    assert stale.age == pytest.approx(20, abs=5)
    wait_until(lambda: board.departures("JFK") == 2, description="the refreshed value")
    assert board.loads == 2


def test_a_stale_entry_is_refreshed_once_for_all_its_readers(
    make_board: MakeBoard, warmer_clock: MakeClock, start: Start
) -> None:
    """However many read a stale entry, one load refreshes it."""
    board = make_board(ttl=10, grace=100)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    gate = board.hold(2)
    clock.advance(20)

    readings = [start(board.departures, "JFK") for _ in range(50)]

    assert {value_of(reading) for reading in readings} == {1}
    gate.wait_entered()
    gate.open()
    wait_until(lambda: board.departures("JFK") == 2, description="the refreshed value")
    assert board.loads == 2


def test_readers_never_refresh_where_that_is_said(make_board: MakeBoard, warmer_clock: MakeClock) -> None:
    """With reader_refresh="never" a stale entry stays as it is until a worker comes."""
    board = make_board(ttl=10, grace=100, settings={"reader_refresh": "never"})
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    clock.advance(20)

    assert board.departures.read("JFK").state == "stale"
    wait_until(lambda: board.count("asks_unswept") == 1, description="the reader to have asked")

    assert board.loads == 1


def test_past_its_grace_an_entry_is_a_miss(make_board: MakeBoard, warmer_clock: MakeClock) -> None:
    """What may not be served any more is loaded, and waited for."""
    board = make_board(ttl=10, grace=10)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    clock.advance(21)

    entry = board.departures.read("JFK")

    assert (entry.value, entry.state) == (2, "loaded")


def test_without_grace_nothing_is_ever_stale(make_board: MakeBoard, warmer_clock: MakeClock) -> None:
    """grace=0 ends an entry with its ttl."""
    board = make_board(ttl=10, grace=0)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    clock.advance(10)

    assert board.departures("JFK") == 2


def test_an_early_entry_is_fresh_and_due(board: Board, redis_url: str) -> None:
    """An entry past its due time and within its ttl is served as fresh, and its refresh is asked for."""
    board.departures("JFK")
    with redis.Redis.from_url(redis_url) as client:
        client.setrange(board.departures.bind("JFK").key, DUE_AFTER_OFFSET, struct.pack("<f", 0.0))

    entry = board.departures.read("JFK")

    assert (entry.value, entry.state, entry.fresh) == (1, "early", True)
    wait_until(lambda: board.departures("JFK") == 2, description="the refreshed value")


def test_a_look_never_loads(board: Board) -> None:
    """entry() says what is stored, or None."""
    one = board.departures.bind("JFK")

    assert one.entry() is None
    board.departures("JFK")
    entry = one.entry()

    assert entry is not None
    assert entry.value == 1
    assert board.loads == 1


def test_a_miss_can_be_an_error(board: Board) -> None:
    """miss="raise" says what is missing, and loads nothing."""
    with pytest.raises(CacheMiss, match=r"departures\(JFK\)"):
        board.departures.bind("JFK").get(miss="raise")

    assert board.loads == 0
    board.departures("JFK")
    assert board.departures.bind("JFK").get(miss="raise") == 1


def test_a_query_may_say_what_a_miss_does(make_board: MakeBoard) -> None:
    """miss= of the query holds for each read that does not say otherwise."""
    board = make_board(miss="raise")

    with pytest.raises(CacheMiss):
        board.departures("JFK")
    assert board.departures.bind("JFK").get(miss="load") == 1
    assert board.departures("JFK") == 1


def test_an_unknown_miss_is_an_error_before_anything_is_loaded(board: Board) -> None:
    """A misspelt option of a call names the three that there are."""
    with pytest.raises(InvalidOption, match="'load' or 'wait' or 'raise'"):
        board.departures.bind("JFK").get(miss="lod")

    assert board.loads == 0


def test_a_miss_can_wait_for_somebody_else(make_board: MakeBoard, start: Start) -> None:
    """miss="wait" gets what another process loads, and loads nothing itself."""
    board, other = make_board(), make_board()
    reading = start(board.departures.bind("JFK").get, miss="wait")
    board.wait_joined(1)

    other.departures("JFK")

    assert value_of(reading) == 1
    assert board.loads == 0


def test_a_miss_that_waits_in_vain_says_so(make_board: MakeBoard) -> None:
    """miss="wait" ends with WaitTimeout when nobody loads."""
    board = make_board(wait=0.3)

    with pytest.raises(WaitTimeout):
        board.departures.bind("JFK").get(miss="wait")

    assert board.loads == 0


def test_who_waits_for_a_worker_makes_the_entry_due(make_board: MakeBoard, start: Start) -> None:
    """miss="wait" on an entry that nobody has ever loaded puts it where a scheduler claims it."""
    board = make_board()
    store = board.runtime.store
    store.claim(0, "a-scheduler", 0, 0, {"departures": "v"})
    reading = start(board.departures.bind("JFK").get, miss="wait")
    wait_until(
        lambda: store.command("ZSCORE", store.roots[0] + b"index:departures", "departures@v:JFK"),
        description="the entry to be due",
    )

    make_board().departures("JFK")

    assert value_of(reading) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: b"",
        lambda blob: blob[:10],
        lambda blob: blob[: HEADER_SIZE - 1],
        lambda blob: blob[:HEADER_SIZE],
        lambda blob: b"x" * len(blob),
        lambda blob: b"\x80" + blob[1:],
        lambda blob: blob[:1] + b"\xff" + blob[2:],
        lambda blob: blob[:1] + bytes([blob[1] | OWNED]) + blob[2:],
        lambda blob: blob[:1] + bytes([blob[1] | COMPRESSED]) + blob[2:],
        lambda blob: blob[:1] + bytes([blob[1] ^ SHORT]) + blob[2:],
        lambda blob: blob[:12] + b"\xff" * 8 + blob[20:],
        lambda blob: blob[:HEADER_SIZE] + b"\xc1" * 8,
        lambda blob: blob[:HEADER_SIZE] + b"\xa5hello",
        lambda blob: blob + b"more",
    ],
    ids=[
        "empty", "start", "short-header", "no-payload", "foreign", "other-format", "all-flags", "owned",
        "not-zstd", "earlier-layout", "no-stamp", "no-msgpack", "other-type", "longer",
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_a_miss(
    board: Board, redis_url: str, damage: Callable[[bytes], bytes]
) -> None:
    """A blob that is cut, foreign or damaged is counted and loaded anew, and never an error to its reader."""
    board.departures("JFK")
    key = board.departures.bind("JFK").key
    with redis.Redis.from_url(redis_url) as client:
        blob = client.get(key)
        assert isinstance(blob, bytes)
        client.set(key, damage(blob))

    assert board.departures.bind("JFK").entry() is None
    entry = board.departures.read("JFK")

    assert (entry.value, entry.state) == (2, "loaded")
    assert board.count("corrupt_entries") + board.count("foreign_entries") >= 1
    assert board.departures("JFK") == 2


def test_a_foreign_type_under_a_key_is_no_error_to_readers(board: Board, redis_url: str) -> None:
    """Where another program keeps a hash under an entry's key, readers load."""
    with redis.Redis.from_url(redis_url) as client:
        client.hset(board.departures.bind("JFK").key, "field", "value")

    assert board.departures("JFK") == 1
    assert board.departures.bind("JFK").entry() is None
    assert sorted(board.departures.get_many([("JFK",), ("EWR",)])) == [2, 3]  # they load side by side


def test_a_value_of_an_earlier_life_is_a_miss(board: Board, redis_url: str) -> None:
    """An entry that was stored before a restart is not served, whatever its times say."""
    board.departures("JFK")
    key = board.departures.bind("JFK").key
    with redis.Redis.from_url(redis_url) as client:
        blob = client.get(key)
        assert isinstance(blob, bytes)
        client.set(key, blob[:4] + b"earlier!" + blob[12:])

    assert board.departures("JFK") == 2


def test_a_corrupt_entry_does_not_harm_others_of_a_call(board: Board, redis_url: str) -> None:
    """get_many loads what can't be read, and takes the rest as it is."""
    first = [board.departures(airport) for airport in "ABC"]
    assert first == [1, 2, 3]
    with redis.Redis.from_url(redis_url) as client:
        client.setrange(board.departures.bind("B").key, HEADER_SIZE, b"\xc1\xc1\xc1")

    assert board.departures.get_many([("A",), ("B",), ("C",)]) == [1, 4, 3]


def test_a_value_that_turns_corrupt_between_look_and_load_is_loaded(
    board: Board, start: Start, redis_url: str
) -> None:
    """A reader that waited for a load and finds its stored value damaged has it loaded anew."""
    gate = board.hold(1)
    first = start(board.departures, "JFK")
    gate.wait_entered()
    with redis.Redis.from_url(redis_url) as client:
        gate.open()
        value_of(first)
        client.setrange(board.departures.bind("JFK").key, HEADER_SIZE, b"\xc1")
    # As a reader does that missed before the value was there.
    runtime = board.runtime
    got = drive(runtime, board.departures.bind("JFK")._read_on(runtime, MISSED, "load"))

    assert (got.value, board.loads) == (2, 2)


def test_reads_are_typed_as_they_were_annotated(flights: Warmer) -> None:
    """A hit gives what the function gave, not what the wire knows."""

    @flights.cached(ttl=60, name="typed")
    def typed(at: datetime) -> dict[str, tuple[Decimal, datetime]]:
        return {"x": (Decimal("1.50"), at)}

    at = datetime(2013, 1, 1, 5, tzinfo=UTC)

    assert typed(at) == typed(at) == {"x": (Decimal("1.50"), at)}
    assert typed.read(at).state == "fresh"
