"""warmer.testing: another server for a namespace, reads past the cache, and a clock that can be moved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from warmer import Query, Warmer
from warmer.errors import CacheMiss, InvalidOption
from warmer.testing import Clock, ValkeyServer, bypass, python, using_server, wait_until


@pytest.fixture
def loads() -> list[str]:
    """The arguments of every load so far."""
    return []


@pytest.fixture
def delays(flights: Warmer, loads: list[str]) -> Query[[str], int]:
    """A query whose value is the number of its load."""

    @flights.cached(ttl=60, grace=30, name="delays", version="1", keep_warm=False)
    def delays(carrier: str) -> int:
        loads.append(carrier)
        return len(loads)

    return delays


# -- using_server


def test_a_namespace_is_pointed_at_another_server_and_back(
    redis_url: str, broker_url: str, namespace: str
) -> None:
    """What is stored on one is not seen on the other, and the setting comes back."""
    flights = Warmer(namespace, redis_url=redis_url)
    values = iter(range(10))

    @flights.cached(ttl=60, name="next", version="1")
    def next_value() -> int:
        return next(values)

    assert next_value() == 0
    with using_server(flights, broker_url) as same:
        assert same is flights
        assert next_value() == 1
        assert next_value() == 1
    assert flights.settings.redis_url == redis_url
    assert next_value() == 0
    flights.close()


def test_the_setting_comes_back_after_a_failure(redis_url: str, namespace: str) -> None:
    """A failing test does not leave the namespace on a server that is going away."""
    flights = Warmer(namespace, redis_url="redis://127.0.0.1:1/0")
    with pytest.raises(ZeroDivisionError), using_server(flights, redis_url):
        raise ZeroDivisionError
    assert flights.settings.redis_url == "redis://127.0.0.1:1/0"


# -- bypass


def test_reads_go_past_the_cache_only_inside(delays: Query[[str], int], loads: list[str]) -> None:
    """Inside, each read runs the function and stores nothing; outside, the cache is as it was."""
    assert delays("UA") == 1
    with bypass():
        assert delays("UA") == 2
        assert delays.read("UA").value == 3
        assert delays.get_many([("UA",), ("AA",)]) == [4, 5]
    assert delays("UA") == 1
    with pytest.raises(CacheMiss):
        delays.bind("AA").get(miss="raise")


def test_other_threads_go_on_through_the_cache(delays: Query[[str], int]) -> None:
    """The bypass is of its context, so a test cannot slow down or confuse what runs beside it."""
    assert delays("UA") == 1
    seen: list[int] = []
    with bypass():
        thread = threading.Thread(target=lambda: seen.append(delays("UA")))
        thread.start()
        thread.join()
    assert seen == [1]


def test_tasks_started_inside_go_past_the_cache_too(delays: Query[[str], int]) -> None:
    """In asyncio the bypass holds for the task and those that it starts."""

    async def main() -> list[int]:
        first = await delays.aget("UA")
        with bypass():
            return [first, await asyncio.create_task(delays.aget("UA")), await delays.aget("UA")]

    assert asyncio.run(main()) == [1, 2, 3]


def test_invalidations_work_inside(delays: Query[[str], int]) -> None:
    """Going past the cache concerns reads, not what is done to it."""
    assert delays("UA") == 1
    with bypass():
        assert delays.invalidate("UA") == 1
    assert delays("UA") == 2


# -- the clock


def test_an_entry_ages_at_once(delays: Query[[str], int], clock: Clock) -> None:
    """Fresh, stale and gone, without waiting for any of it."""
    assert (delays("UA"), delays("AA")) == (1, 2)
    clock.advance(59)
    assert delays.read("UA").fresh
    clock.advance(timedelta(seconds=1.5))
    entry = delays.read("UA")
    assert (entry.value, entry.state) == (1, "stale")
    assert 60.5 <= entry.age < 90
    assert clock.ahead_s == 60.5
    clock.advance(30)
    assert delays.read("AA").state == "loaded"


def test_a_stale_read_asks_for_its_refresh_after_each_move(
    delays: Query[[str], int], clock: Clock, loads: list[str]
) -> None:
    """What a process remembers in real time does not hide what the moved clock makes due."""
    delays("UA")
    for expected in (2, 3):
        clock.advance(75)
        assert delays.read("UA").state == "stale"
        wait_until(lambda n=expected: len(loads) == n, description=f"load {expected}")  # type: ignore[misc]
        wait_until(lambda: delays.read("UA").fresh, description="the new value")


def test_values_loaded_later_go_by_the_moved_clock(delays: Query[[str], int], clock: Clock) -> None:
    """What is stored after a move is fresh for its whole ttl from there."""
    clock.advance(10_000)
    assert delays("UA") == 1
    assert delays.read("UA").age < 5
    clock.advance(59)
    assert delays.read("UA").fresh


def test_another_process_follows_within_seconds(
    flights: Warmer, delays: Query[[str], int], clock: Clock, redis_url: str
) -> None:
    """A reader elsewhere compares clocks now and then, and sees the entry expire."""
    script = (
        "import sys, time\n"
        "from warmer import Warmer\n"
        "flights = Warmer(sys.argv[1], redis_url=sys.argv[2], reader_refresh='never')\n"
        "@flights.cached(ttl=60, grace=30, name='delays', version='1', keep_warm=False)\n"
        "def delays(carrier: str) -> int:\n"
        "    return 0\n"
        "one, told = delays.bind('UA'), None\n"
        "while True:\n"
        "    entry = one.entry()\n"
        "    state = entry.state if entry else 'gone'\n"
        "    if state != told:\n"
        "        print('state', state, flush=True)\n"
        "    told = state\n"
        "    time.sleep(0.01)\n"
    )
    delays("UA")
    with python("-c", script, flights.namespace, redis_url) as reader:
        reader.wait_for_line("state fresh")
        clock.advance(70)
        reader.wait_for_line("state stale")
        clock.advance(70)
        reader.wait_for_line("state gone")


def test_the_clock_never_goes_back(clock: Clock) -> None:
    """Stamps only grow; a negative step is refused and moves nothing."""
    clock.advance(5)
    for step in (-1, timedelta(days=-1), float("nan")):
        with pytest.raises(InvalidOption, match="stamps never go back"):
            clock.advance(step)
    assert clock.ahead_s == 5


def test_a_second_clock_goes_on_where_the_first_is(flights: Warmer, clock: Clock) -> None:
    """Two clocks of one namespace do not turn each other back."""
    clock.advance(100)
    second = Clock(flights)
    assert second.ahead_s == 100
    second.advance(1)
    assert Clock(flights).ahead_s == 101


def test_every_shard_is_moved(namespace: str, redis_url: str) -> None:
    """Entries of all shards age together, and what is loaded anew in any of them is fresh."""
    flights = Warmer(namespace, redis_url=redis_url, shards=8)

    @flights.cached(ttl=60, name="length", version="1", keep_warm=False)
    def length(carrier: str) -> int:
        return len(carrier)

    handles = [length.bind("x" * n) for n in range(20)]
    for handle in handles:
        handle.get()
    assert len({handle.entry_key.shard for handle in handles}) > 1
    clock = Clock(flights)
    clock.advance(61)
    assert {handle.read().state for handle in handles} == {"stale"}
    for handle in handles:
        handle.refresh()
    assert {handle.read().state for handle in handles} == {"fresh"}
    flights.close()


def test_several_namespaces_move_together(flights: Warmer, redis_url: str) -> None:
    """One clock for an application of two namespaces."""
    other = Warmer(f"{flights.namespace}-other", redis_url=redis_url)
    Clock(flights, other).advance(7)
    assert Clock(flights).ahead_s == Clock(other).ahead_s == 7
    other.close()


def test_a_clock_of_nothing_is_refused() -> None:
    """The message shows the form that works."""
    with pytest.raises(InvalidOption, match=r"Clock\(flights\)"):
        Clock()


def test_the_fixture_puts_the_clock_back(
    flights: Warmer, warmer_clock: Callable[..., Clock], redis_url: str
) -> None:
    """After a reset the namespace is at the server's time again."""
    clock = warmer_clock(flights)
    clock.advance(1000)
    flights.runtime()
    clock.reset()
    assert clock.ahead_s == 0
    assert abs(flights.runtime().store.now_us() - _server_now_us(redis_url)) < 1e6


def test_a_reset_touches_no_other_server(namespace: str) -> None:
    """A clock that outlives its fixture finds the namespace pointed elsewhere, and must not go there."""
    flights = Warmer(namespace, redis_url="redis://127.0.0.1:1/0")
    with ValkeyServer() as server:
        with using_server(flights, server.url):
            clock = Clock(flights)
            clock.advance(10)
        clock.advance(10)
        with redis.Redis.from_url(server.url) as client:
            assert client.get(f"w:{{{namespace}:0}}:clock") == b"20000000"
    clock.reset()


def _server_now_us(url: str) -> float:
    with redis.Redis.from_url(url) as client:
        seconds, micros = client.time()
    return float(seconds * 1e6 + micros)
