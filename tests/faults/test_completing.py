"""Who completes an invalidation that was left half-way: one process at a time, and all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.board import Board
from tests.filling import fill, stored
from warmer.completion import Completion, complete_unfinished
from warmer.core.keyspace import keyspace
from warmer.errors import RedisUnreachable
from warmer.store.operations import STAMPED
from warmer.store.scripts import Call
from warmer.testing import Clock

pytestmark = pytest.mark.faults

COUNT = 300
#: In the test's namespace an invoker may be silent for so long.
LONG_S = 60.0


class _Killed(BaseException):
    """In place of `kill -9`: nothing of an invalidation comes after it, not even what is done for errors."""


@pytest.fixture(autouse=True)
def by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> Callable[[Completion], None]:
    """No process looks by itself what is left; how one does."""
    step = Completion.step
    monkeypatch.setattr(Completion, "step", lambda self: None)
    return step


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A look at what is stored."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@contextmanager
def _boards(namespace: str, url: str, shards: int) -> Iterator[tuple[Board, Board]]:
    one, two = (Board(namespace, url, settings={"shards": shards}) for _ in range(2))
    try:
        yield one, two
    finally:
        one.close()
        two.close()


def _records(client: redis.Redis, board: Board) -> set[bytes]:
    shards = range(board.runtime.settings.shards)
    found = [client.hkeys(keyspace(board.flights.namespace, shard).unfinished) for shard in shards]
    return {key for keys in found for key in keys if isinstance(key, bytes)}


def _leave_half_way(board: Board, invalidate: Callable[[], int] | None = None) -> None:
    """An invalidation that is killed after the scripts of its first trip: what follows them is not done."""
    scripts = board.runtime.store.scripts
    run_all = scripts.run_all

    def killed(calls: list[Call]) -> None:
        run_all([call for call in calls if call.name])
        raise _Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "run_all", killed)
        with pytest.raises(_Killed):
            invalidate() if invalidate else board.flights.invalidate_tags("all")


def _before_trips(board: Board, call: Callable[[], object]) -> None:
    """Have this called before each trip that stamps or removes."""
    scripts = board.runtime.store.scripts
    run_all = scripts.run_all

    def running(calls: list[Call]) -> list[object]:
        if {"apply", "remove"} & {one.name for one in calls}:
            call()
        return run_all(calls)

    scripts.run_all = running  # type: ignore[method-assign,assignment]  # what is sent, watched


@pytest.mark.parametrize("found_in", [0, 1], ids=["beforehand", "of-its-shard"])
def test_who_has_taken_one_of_its_records_has_taken_all(
    redis_url: str, client: redis.Redis, namespace: str, found_in: int
) -> None:
    """They stand in every shard, and one more in the first: nobody completes it by another of them."""
    with _boards(namespace, redis_url, 3) as (board, other):
        fill(client, board, COUNT)
        _leave_half_way(board)
        assert len(_records(client, board)) == 2, "one written beforehand, and what each shard has left"
        Clock(board.flights).advance(LONG_S)
        meanwhile: list[int] = []
        _before_trips(
            board, lambda: meanwhile.extend(complete_unfinished(other.runtime, shard) for shard in range(3))
        )

        assert complete_unfinished(board.runtime, found_in) == 1

        assert meanwhile
        assert not any(meanwhile)
        assert stored(client, board) == _records(client, board) == set()


def test_what_only_an_earlier_release_wrote_beforehand_goes_all_the_same(
    redis_url: str, client: redis.Redis, namespace: str
) -> None:
    """Else it would be completed again every few seconds, for ever."""
    with _boards(namespace, redis_url, 1) as (board, _):
        fill(client, board, COUNT)
        _leave_half_way(board)
        unfinished = keyspace(namespace, 0).unfinished
        ((name, record),) = client.hgetall(unfinished).items()
        assert isinstance(name, bytes)
        client.delete(unfinished)
        client.hset(unfinished, name + b"+", record)
        Clock(board.flights).advance(LONG_S)

        assert complete_unfinished(board.runtime, 0) == 1

        assert stored(client, board) == _records(client, board) == set()


def test_names_that_need_a_second_trip_are_recorded_in_the_first(
    redis_url: str, client: redis.Redis, namespace: str
) -> None:
    """Whoever dies between the two leaves names that no shard has heard of but by its record."""
    with _boards(namespace, redis_url, 1) as (board, _):
        fill(client, board, COUNT)
        tags = ["all", *(f"a{number:03}" for number in range(STAMPED))]
        _leave_half_way(board, lambda: board.flights.invalidate_tags(*tags))
        assert len(stored(client, board)) == COUNT, "its names come in their order"
        Clock(board.flights).advance(LONG_S)

        assert complete_unfinished(board.runtime, 0) == 1

        assert stored(client, board) == _records(client, board) == set()


@pytest.mark.parametrize("part", [False, True], ids=["query", "part"])
def test_what_is_looked_for_in_an_index_is_recorded_before_that(
    redis_url: str, client: redis.Redis, namespace: str, part: bool
) -> None:
    """A query's entries are under no name: whoever dies after the stamp leaves all of them."""
    with _boards(namespace, redis_url, 1) as (board, _):
        fill(client, board, COUNT)
        query = board.departures
        _leave_half_way(
            board, lambda: query.invalidate_where(airport="X7") if part else query.invalidate_all()
        )
        before = stored(client, board)
        Clock(board.flights).advance(LONG_S)

        assert complete_unfinished(board.runtime, 0) == 1

        gone = {query.bind("X7").key.encode()} if part else before
        assert stored(client, board) == before - gone
        assert gone <= before
        assert _records(client, board) == set()


@pytest.mark.parametrize("shards", [1, 3])
def test_an_invalidation_that_is_done_leaves_no_record(
    redis_url: str, client: redis.Redis, namespace: str, shards: int
) -> None:
    """However many trips it took."""
    with _boards(namespace, redis_url, shards) as (board, _):
        for invalidate in (
            board.departures.invalidate_all,
            lambda: board.flights.invalidate_tags("all"),
            lambda: board.departures.invalidate_where(airport="X77"),
        ):
            fill(client, board, COUNT)
            assert invalidate() >= 1
            assert _records(client, board) == set()


def test_what_takes_one_trip_needs_no_second_for_its_record(
    redis_url: str, client: redis.Redis, namespace: str
) -> None:
    """It is written beforehand and called off in that trip."""
    with _boards(namespace, redis_url, 3) as (board, _):
        fill(client, board, 10)
        scripts, trips = board.runtime.store.scripts, list[int]()
        run_all = scripts.run_all

        def running(calls: list[Call]) -> list[object]:
            trips.append(len(calls))
            return run_all(calls)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scripts, "run_all", running)
            assert board.flights.invalidate_tags("all") == 10

        assert trips == [3 + 1]


def test_a_record_that_can_not_be_dropped_fails_nobody(
    redis_url: str, client: redis.Redis, namespace: str
) -> None:
    """All is removed; it is completed once more by somebody, who finds nothing left."""
    with _boards(namespace, redis_url, 1) as (board, other):
        fill(client, board, COUNT)
        scripts = board.runtime.store.scripts
        run_all = scripts.run_all

        def away(calls: list[Call]) -> list[object]:
            if not any(call.name for call in calls) and calls[0].args[0] == "HDEL":
                raise RedisUnreachable(redis_url, "away")
            return run_all(calls)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scripts, "run_all", away)
            assert board.flights.invalidate_tags("all") == COUNT
        assert len(_records(client, board)) == 1
        Clock(board.flights).advance(LONG_S)

        assert complete_unfinished(other.runtime, 0) == 1
        assert _records(client, board) == set()


def test_a_look_completes_all_that_it_finds(redis_url: str, client: redis.Redis, namespace: str) -> None:
    """The next look into the same shard may be a minute away."""
    with _boards(namespace, redis_url, 1) as (board, _):
        fill(client, board, COUNT)
        for _ in range(3):
            _leave_half_way(board)
        Clock(board.flights).advance(LONG_S)

        assert complete_unfinished(board.runtime, 0) == 3

        assert stored(client, board) == _records(client, board) == set()


def test_a_process_is_at_one_look_at_a_time(
    redis_url: str, client: redis.Redis, namespace: str, by_nobody_else: Callable[[Completion], None]
) -> None:
    """While a look completes something, the next one leaves the rest to it."""
    with _boards(namespace, redis_url, 1) as (board, _):
        fill(client, board, COUNT)
        for _ in range(2):
            _leave_half_way(board)
        Clock(board.flights).advance(LONG_S)
        completion, completed = Completion(board.runtime), list[int]()

        def meanwhile() -> None:
            before = board.count("invalidations_completed")
            by_nobody_else(completion)
            completed.append(board.count("invalidations_completed") - before)

        _before_trips(board, meanwhile)
        by_nobody_else(completion)

        assert len(completed) > 2
        assert not any(completed)
        assert _records(client, board) == set()


def test_a_look_that_fails_is_made_again(
    redis_url: str,
    client: redis.Redis,
    namespace: str,
    by_nobody_else: Callable[[Completion], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that is away for a moment raises nothing, and does not end the looking."""
    with _boards(namespace, redis_url, 1) as (board, _):
        fill(client, board, COUNT)
        _leave_half_way(board)
        Clock(board.flights).advance(LONG_S)
        completion = Completion(board.runtime)

        def away(*_: object) -> None:
            raise RedisUnreachable(redis_url, "away")

        with monkeypatch.context() as patch:
            patch.setattr(board.runtime.store.scripts, "run", away)
            by_nobody_else(completion)
        assert _records(client, board)

        by_nobody_else(completion)

        assert stored(client, board) == _records(client, board) == set()


def test_each_look_is_into_the_next_shard(
    redis_url: str, client: redis.Redis, namespace: str, by_nobody_else: Callable[[Completion], None]
) -> None:
    """As many looks as there are shards find whatever is left, wherever it stands."""
    with _boards(namespace, redis_url, 3) as (board, _):
        fill(client, board, COUNT)
        looked: list[bytes] = []
        scripts = board.runtime.store.scripts
        run = scripts.run

        def running(name: str, root: bytes, args: list[bytes | str | int]) -> object:
            looked.append(root)
            return run(name, root, args)

        scripts.run = running  # type: ignore[method-assign]  # what is sent, watched
        completion = Completion(board.runtime)
        for _ in range(3):
            by_nobody_else(completion)

        assert set(looked) == set(board.runtime.store.roots)
