"""Invalidations by entry, part, query, tag and owner: what goes, what stays, in every shard and version."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from tests.board import Board, value_of
from warmer import Query, Warmer
from warmer.core.keyspace import keyspace
from warmer.errors import InvalidOption, ParamError, UnknownParam
from warmer.testing import Clock, wait_until

Start = Callable[..., Future[Any]]


@dataclass
class Delays:
    """Two queries under shared tags."""

    flights: Warmer
    delays: Query[[str, int], int]
    routes: Query[[int], int]

    def fill(self) -> None:
        self.delays.get_many([("UA", 1), ("UA", 2), ("AA", 1), ("AA", 2)])
        self.routes.get_many([(1,), (2,)])

    def stored(self) -> set[str]:
        """What is there, by the call that it answers."""
        handles = [
            *(self.delays.bind(carrier, month) for carrier in ("UA", "AA") for month in (1, 2)),
            *(self.routes.bind(month) for month in (1, 2)),
        ]
        return {one.key.partition(":e:")[2] for one in handles if one.entry() is not None}


ALL = {"delays@v:UA,1", "delays@v:UA,2", "delays@v:AA,1", "delays@v:AA,2", "routes@v:1", "routes@v:2"}


@pytest.fixture(params=[1, 8], ids=["one-shard", "eight-shards"])
def made(request: pytest.FixtureRequest, namespace: str, redis_url: str) -> Any:
    """Both queries, all of their entries stored, on one shard and on eight."""
    flights = Warmer(namespace, redis_url=redis_url, shards=request.param)

    @flights.cached(ttl=60, name="delays", version="v", tags=("month:{month}", "all"))
    def delays(carrier: str, month: int) -> int:
        return month

    @flights.cached(ttl=60, name="routes", version="v", tags=("month:{month}",))
    def routes(month: int) -> int:
        return month

    made = Delays(flights, delays, routes)
    made.fill()
    assert made.stored() == ALL
    yield made
    flights.close()


def test_one_entry_goes(made: Delays) -> None:
    """An exact invalidation takes the entry that it names, and says whether one was there."""
    assert made.delays.invalidate("UA", 1) == 1
    assert made.delays.invalidate("UA", 1) == 0
    assert made.delays.invalidate(month=9, carrier="UA") == 0  # type: ignore[call-arg]  # names are not typed
    assert ALL - made.stored() == {"delays@v:UA,1"}


def test_an_exact_invalidation_binds_like_a_call(made: Delays) -> None:
    """Wrong arguments are errors, and nothing goes."""
    with pytest.raises(ParamError):
        made.delays.invalidate("UA", "1")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(UnknownParam, match="month"):
        made.delays.invalidate("UA", mnth=1)  # type: ignore[call-arg]  # wrong on purpose

    assert made.stored() == ALL


def test_a_part_of_the_params_takes_what_has_it(made: Delays) -> None:
    """invalidate_where takes every entry with these values for these params."""
    assert made.delays.invalidate_where(carrier="UA") == 2
    assert made.delays.invalidate_where(month=1, carrier="AA") == 1
    assert ALL - made.stored() == {"delays@v:UA,1", "delays@v:UA,2", "delays@v:AA,1"}


def test_a_part_must_name_params_of_the_query(made: Delays) -> None:
    """An unknown one suggests what was meant; none at all is an error, too."""
    with pytest.raises(UnknownParam, match="Did you mean 'carrier'"):
        made.delays.invalidate_where(carier="UA")
    with pytest.raises(ParamError, match="month"):
        made.delays.invalidate_where(month="1")
    with pytest.raises(InvalidOption, match="invalidate_all"):
        made.delays.invalidate_where()

    assert made.stored() == ALL


def test_a_whole_query_goes(made: Delays) -> None:
    """invalidate_all takes every entry of its query, and none of another."""
    assert made.delays.invalidate_all() == 4
    assert made.stored() == {"routes@v:1", "routes@v:2"}


def test_a_tag_goes_across_queries(made: Delays) -> None:
    """Every entry under the tag goes, of whichever query."""
    assert made.flights.invalidate_tags("month:1") == 3
    assert ALL - made.stored() == {"delays@v:UA,1", "delays@v:AA,1", "routes@v:1"}


def test_several_tags_go_at_once(made: Delays) -> None:
    """An entry under two of them is counted once."""
    assert made.flights.invalidate_tags("month:1", "all", "nothing") == 5
    assert made.stored() == {"routes@v:2"}


@pytest.mark.parametrize("tags", [(), ("",), (3,), (None,), ("a", 3)])
def test_what_is_no_tag_is_an_error(made: Delays, tags: Any) -> None:
    """Tags that are none are refused, and nothing goes."""
    with pytest.raises(InvalidOption):
        made.flights.invalidate_tags(*tags)

    assert made.stored() == ALL


def test_what_was_invalidated_is_loaded_anew_and_stays(made: Delays) -> None:
    """After an invalidation entries are stored again, under the same names."""
    made.flights.invalidate_tags("month:1")
    made.fill()

    assert made.stored() == ALL
    assert made.flights.invalidate_tags("month:1") == 3


def test_a_partial_invalidation_ends_every_load_of_the_query(made: Delays) -> None:
    """It stamps the whole query: another may load what it has not even hit."""
    store, one = made.flights.runtime().store, made.delays.bind("UA", 1)
    names = one._reading.names_of(one.params, one.entry_key).all()
    lease = store.acquire(one.entry_key, names, "t", timeout_us=20_000_000, newer_than=None)

    made.delays.invalidate_where(carrier="AA")

    assert store.acquire(one.entry_key, names, "u", timeout_us=20_000_000, newer_than=None).kind == "granted"
    assert lease.kind == "granted"


def test_old_and_new_releases_invalidate_each_other(namespace: str, redis_url: str) -> None:
    """Two versions of a query keep their own entries, and every kind of invalidation takes both."""
    old, new = (Board(namespace, redis_url, version=version) for version in ("1", "2"))
    ways: list[Callable[[Board], int]] = [
        lambda board: board.departures.invalidate("JFK"),
        lambda board: board.departures.invalidate_all(),
        lambda board: board.departures.invalidate_where(airport="JFK"),
        lambda board: board.flights.invalidate_tags("all"),
    ]
    for way in ways:
        for invalidator in (old, new):
            old.departures("JFK")
            new.departures("JFK")

            assert way(invalidator) == 2

            assert old.departures.bind("JFK").entry() is new.departures.bind("JFK").entry() is None
    old.close()
    new.close()


def test_long_params_are_invalidated_by_part(flights: Warmer) -> None:
    """Entries whose key holds a digest are told apart by the params that are kept beside it."""

    @flights.cached(ttl=60, name="search")
    def search(text: str, page: int) -> int:
        return page

    long, other = "x" * 400, "y" * 400
    search.get_many([(long, 1), (long, 2), (other, 1)])
    assert "#" in search.bind(long, 1).key

    assert search.invalidate_where(text=long) == 2
    assert search.bind(other, 1).entry() is not None
    assert search.invalidate(other, 1) == 1


def test_a_part_takes_what_it_can_not_tell_apart(flights: Warmer, redis_url: str, namespace: str) -> None:
    """Where the params beside a digest are lost, the entry is rather removed than kept."""

    @flights.cached(ttl=60, name="search")
    def search(text: str) -> int:
        return len(text)

    search("x" * 400)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(keyspace(namespace, 0).params)

    assert search.invalidate_where(text="y") == 1


def test_stale_after_write_bridges_the_next_load(
    make_board: Callable[..., Board], warmer_clock: Callable[..., Clock]
) -> None:
    """An invalidated value may be served, as stale, while it is recomputed; no longer than the query
    allows.
    """
    board = make_board(ttl=60, stale_after_write=10)
    clock = warmer_clock(board.flights)
    board.departures("JFK")
    gate = board.hold(2)

    assert board.departures.invalidate("JFK") == 1
    stale = board.departures.read("JFK")

    assert (stale.value, stale.state) == (1, "stale")
    gate.wait_entered()
    gate.open()
    wait_until(lambda: board.departures("JFK") == 2, description="the value after the write")
    board.departures.invalidate("JFK")
    board.hold(3)
    clock.advance(11)
    board.gates[3].open()
    assert board.departures("JFK") >= 3


def test_stale_after_write_holds_for_tags_by_query(flights: Warmer) -> None:
    """One tag over two queries: the one that allows stale values keeps its own, the other loses them."""

    @flights.cached(ttl=60, name="lenient", tags=("t",), stale_after_write=60)
    def lenient() -> int:
        return 1

    @flights.cached(ttl=60, name="exact", tags=("t",))
    def exact() -> int:
        return 1

    lenient()
    exact()

    assert flights.invalidate_tags("t") == 2
    assert exact.bind().entry() is None
    entry = lenient.bind().entry()
    assert entry is not None
    assert entry.state == "stale"


def test_a_kept_entry_is_due_at_once(make_board: Callable[..., Board]) -> None:
    """What is kept warm stands in the due index after an invalidation, for the next sweep."""
    board = make_board(keep_warm=True)
    board.departures("JFK")
    store = board.runtime.store

    board.departures.invalidate("JFK")

    claimed = store.claim(0, "a-scheduler", 10, 10, {"departures": "v"})
    assert [claim.member for claim in claimed.claims] == ["departures@v:JFK"]


def test_an_entry_that_is_written_faster_than_it_loads_stays_readable(board: Board, start: Start) -> None:
    """Invalidated again and again during loads, no reader waits for more than two, and no more than two
    run.
    """
    waited_for: list[int] = []

    def read() -> None:
        before = board.loads
        board.departures("JFK")
        waited_for.append(board.loads - before)

    readers = [start(_repeat, read, 40) for _ in range(6)]
    while not all(reader.done() for reader in readers):
        board.departures.invalidate("JFK")
    for reader in readers:
        value_of(reader)

    assert board.most_running <= 2
    assert len(waited_for) == 240


def _repeat(what: Callable[[], None], times: int) -> None:
    for _ in range(times):
        what()


def test_a_namespace_does_not_hit_another(namespace: str, redis_url: str) -> None:
    """Two namespaces on one server keep apart, though their queries have the same names."""
    one, two = Board(f"{namespace}-1", redis_url), Board(f"{namespace}-2", redis_url)
    one.departures("JFK")
    two.departures("JFK")

    assert one.departures.invalidate_all() == 1
    assert one.flights.invalidate_tags("all") == 0
    assert two.departures.bind("JFK").entry() is not None
    one.close()
    two.close()
