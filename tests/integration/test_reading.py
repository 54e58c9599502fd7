"""A read on a real server: fresh, early, stale, missed, failed; who gets whose value."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from tests.restarting import restart
from warmer import CacheMiss, LoadFailed, LoadTimeout, TooManyLoads, WaitTimeout, Warmer
from warmer.errors import IdentityRefused
from warmer.testing import Clock, ValkeyServer, wait_until

ambient: contextvars.ContextVar[str] = contextvars.ContextVar("ambient", default="nobody")
local = threading.local()


@dataclass
class Source:
    """What a query reads, under the test's control: each load can be held, failed and counted."""

    version: int = 1
    loads: int = 0
    fails: bool = False
    begun: list[int] = field(default_factory=list)
    gates: dict[int, threading.Event] = field(default_factory=dict)

    def load(self) -> int:
        """One load: it sees the version as it begins, then waits for its gate if it has one."""
        self.loads += 1
        number, seen = self.loads, self.version
        self.begun.append(number)
        if number in self.gates:
            assert self.gates[number].wait(20)
        if self.fails:
            raise ValueError("no such carrier, password=hunter2")
        return seen

    def hold(self, number: int) -> threading.Event:
        """Hold that load until the event is set."""
        return self.gates.setdefault(number, threading.Event())


@pytest.fixture
def source() -> Source:
    """A source at version 1."""
    return Source()


@pytest.fixture
def shop(redis_url: str, namespace: str) -> Iterator[Warmer]:
    """A namespace of this test's own."""
    made = Warmer(namespace, redis_url=redis_url)
    yield made
    made.close()


def query(shop: Warmer, source: Source, **options: Any) -> Any:
    """A query over the source."""

    @shop.cached(**{"ttl": 60, "name": "value", "version": "1", "tags": ("all",), **options})
    def value(number: int) -> int:
        return source.load()

    return value


def begun(source: Source, number: int) -> Callable[[], bool]:
    """Whether that load has begun."""
    return lambda: number in source.begun


def test_a_second_read_is_a_hit_and_loads_nothing(shop: Warmer, source: Source) -> None:
    """One load, then the stored value with its age."""
    value = query(shop, source)
    assert value.read(1).state == "loaded"
    entry = value.read(1)
    assert (entry.value, entry.state, entry.waited, source.loads) == (1, "fresh", 0.0, 1)


def test_within_grace_the_stale_value_is_served_and_loaded_anew(shop: Warmer, source: Source) -> None:
    """With no scheduler alive, a reader of a stale entry refreshes it in the background and does not wait."""
    value, clock = query(shop, source, ttl=60, grace=60), Clock(shop)
    value(1)
    source.version = 2
    clock.advance(70)
    entry = value.read(1)
    assert (entry.value, entry.state, entry.fresh) == (1, "stale", False)
    wait_until(lambda: value(1) == 2, "the refresh in the background")
    assert source.loads == 2


def test_past_grace_a_reader_waits_for_the_load(shop: Warmer, source: Source) -> None:
    """What is too old to serve is a miss."""
    value, clock = query(shop, source, ttl=60, grace=10), Clock(shop)
    value(1)
    source.version = 2
    clock.advance(71)
    assert value.read(1).value == 2


def test_fifty_threads_on_a_cold_entry_are_one_load(shop: Warmer, source: Source) -> None:
    """The rest wait for it."""
    value, gate = query(shop, source), source.hold(1)
    with ThreadPoolExecutor(50) as pool:
        reads = [pool.submit(value, 1) for _ in range(50)]
        wait_until(begun(source, 1), "the load")
        gate.set()
        assert {read.result(20) for read in reads} == {1}
    assert source.loads == 1


def test_who_joins_after_an_invalidation_never_gets_the_older_load(shop: Warmer, source: Source) -> None:
    """A reader from before gets the doomed load's value; one from after waits for the next load's."""
    value, first, second = query(shop, source), source.hold(1), source.hold(2)
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(value, 1)
        wait_until(begun(source, 1), "the first load")
        source.version = 2
        shop.invalidate_tags("all")
        after = pool.submit(value, 1)
        wait_until(begun(source, 2), "the second load, beside the doomed one")
        first.set()
        assert before.result(20) == 1
        assert not after.done()
        second.set()
        assert after.result(20) == 2
    assert value.read(1).value == 2


def test_a_refused_commit_stores_nothing(shop: Warmer, source: Source) -> None:
    """What was loaded before an invalidation is never stored after it."""
    value, gate = query(shop, source), source.hold(1)
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(value, 1)
        wait_until(begun(source, 1), "the load")
        value.invalidate(1)
        gate.set()
        before.result(20)
    assert value.bind(1).entry() is None


@pytest.mark.usefixtures("long_back_off")
def test_a_failed_load_is_shared_and_not_repeated(shop: Warmer, source: Source) -> None:
    """All who waited get an error that names the cause, masked; the back-off ends with an invalidation."""
    value = query(shop, source)
    source.fails = True
    gate = source.hold(1)
    with ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(value, 1) for _ in range(8)]
        wait_until(begun(source, 1), "the load")
        gate.set()
        errors = [read.exception(20) for read in reads]
    assert all(isinstance(error, LoadFailed) for error in errors)
    assert "ValueError" in str(errors[0])
    assert "hunter2" not in str(errors[0])
    with pytest.raises(LoadFailed):
        value(1)
    assert source.loads == 1
    source.fails = False
    value.invalidate(1)
    assert value(1) == 1


def test_a_failing_load_serves_the_stale_value_through_grace(shop: Warmer, source: Source) -> None:
    """Nobody hears of it but the log and status."""
    value, clock = query(shop, source, ttl=60, grace=600), Clock(shop)
    value(1)
    source.fails = True
    clock.advance(70)
    assert value(1) == 1
    wait_until(lambda: source.loads == 2, "the failing refresh")
    assert value.read(1).state == "stale"


def test_a_load_that_hangs_is_given_up_after_its_timeout(shop: Warmer, source: Source) -> None:
    """The reader gets LoadTimeout; what the load brings in the end is not stored."""
    value, gate = query(shop, source, timeout=0.3), source.hold(1)
    with pytest.raises(LoadTimeout):
        value(1)
    gate.set()
    value.invalidate(1)
    source.version = 2
    assert value(1) == 2


def test_a_reader_waits_for_anothers_load_no_longer_than_wait(
    shop: Warmer, redis_url: str, namespace: str, source: Source
) -> None:
    """Then WaitTimeout, while that load goes on."""
    value, gate, other = query(shop, source), source.hold(1), Warmer(namespace, redis_url=redis_url)
    elsewhere = query(other, source, wait=0.2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(value, 1)
        wait_until(begun(source, 1), "the load")
        with pytest.raises(WaitTimeout):
            elsewhere(1)
        gate.set()
        assert first.result(20) == 1
    assert elsewhere(1) == 1
    other.close()


def test_miss_raise_loads_nothing(shop: Warmer, source: Source) -> None:
    """CacheMiss, and a hit once somebody has loaded it."""
    value = query(shop, source)
    with pytest.raises(CacheMiss):
        value.bind(1).get(miss="raise")
    assert source.loads == 0
    value(1)
    assert value.bind(1).get(miss="raise") == 1


def test_refresh_is_a_load_that_begins_after_the_call(shop: Warmer, source: Source) -> None:
    """It waits for an older load to end, and loads again."""
    value, gate = query(shop, source), source.hold(1)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(value, 1)
        wait_until(begun(source, 1), "the first load")
        source.version = 2
        second = pool.submit(value.refresh, 1)
        gate.set()
        assert first.result(20) == 1
        assert second.result(20) == 2
    assert value(1) == 2


def test_a_load_sees_nothing_of_its_caller(shop: Warmer) -> None:
    """Neither its contextvars nor its thread-locals, and cached queries inside go past the cache."""
    seen: list[tuple[str, object]] = []
    inner_loads: list[int] = []

    @shop.cached(ttl=60, name="inner", version="1")
    def inner(number: int) -> int:
        inner_loads.append(number)
        return number

    @shop.cached(ttl=60, name="outer", version="1")
    def outer(number: int) -> int:
        seen.append((ambient.get(), getattr(local, "user", None)))
        return inner(number)

    inner(1)
    ambient.set("somebody")
    local.user = "somebody"
    assert outer(1) == 1
    assert seen == [("nobody", None)]
    assert inner_loads == [1, 1]


def test_resources_are_opened_and_closed_for_each_load(redis_url: str, namespace: str) -> None:
    """They come first, outside of the key; around_load encloses the load."""
    events: list[str] = []

    class Session:
        """Says when it is opened and closed."""

        def __enter__(self) -> str:
            events.append("open")
            return "session"

        def __exit__(self, *_: object) -> None:
            events.append("close")

    shop = Warmer(namespace, redis_url=redis_url)

    @shop.cached(ttl=60, name="used", version="1", resources={"session": Session})
    def used(session: str, number: int) -> str:
        events.append("load")
        return session

    assert used(1) == "session"
    assert used(number=1) == "session"
    assert events == ["open", "load", "close"]
    shop.close()


def test_a_scoped_read_for_somebody_else_is_refused(shop: Warmer) -> None:
    """Within `identity`, only that identity's entries; `forget` drops them all."""

    @shop.cached(ttl=60, name="mine", version="1", scope="user_id")
    def mine(user_id: int) -> int:
        return user_id

    with shop.identity(user_id=42):
        assert mine(42) == 42
        with pytest.raises(IdentityRefused):
            mine(43)
    mine(43)
    assert shop.forget(user_id=42) == 1
    assert mine.bind(42).entry() is None
    assert mine.bind(43).entry() is not None


def test_a_failed_load_of_a_private_query_is_logged_without_its_params(
    shop: Warmer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor with what its error quotes."""

    @shop.cached(ttl=60, name="secret", version="1", scope="user_id")
    def secret(user_id: int) -> int:
        raise ValueError("row of 4242")

    with caplog.at_level("DEBUG", "warmer"), pytest.raises(LoadFailed):
        secret(4242)
    assert "loading secret(***) failed: ValueError" in caplog.text
    assert "4242" not in caplog.text


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"not an entry at all" * 9, b"\xc1" + bytes(200)])
def test_a_foreign_blob_is_a_miss(shop: Warmer, source: Source, redis_url: str, blob: bytes) -> None:
    """Never an exception in a reader."""
    value = query(shop, source)
    with redis.Redis.from_url(redis_url) as client:
        client.set(value.bind(1).key, blob)
        assert value(1) == 1
        value.invalidate(1)


def test_damage_to_a_stored_entry_is_a_miss(shop: Warmer, source: Source, redis_url: str) -> None:
    """A flipped byte of the payload, or a cut one: loaded anew."""
    value = query(shop, source)
    value(1)
    with redis.Redis.from_url(redis_url) as client:
        whole: Any = client.get(value.bind(1).key)
        for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
            client.set(value.bind(1).key, damaged)
            source.version += 1
            assert value(1) == source.version


def test_a_cut_connection_goes_unseen(shop: Warmer, source: Source, redis_url: str) -> None:
    """CLIENT KILL between two reads."""
    value = query(shop, source)
    value(1)
    with redis.Redis.from_url(redis_url) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert value.read(1).state == "fresh"


def test_from_asyncio_the_same_holds(shop: Warmer, source: Source) -> None:
    """Many tasks are one load; a cancelled reader leaves the load to the others."""
    value, gate = query(shop, source), source.hold(1)

    async def crowd() -> list[int]:
        tasks = [asyncio.create_task(value.aget(1)) for _ in range(20)]
        await asyncio.to_thread(wait_until, begun(source, 1), "the load")
        tasks[0].cancel()
        gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        return [each for each in done[1:] if isinstance(each, int)]

    assert asyncio.run(crowd()) == [1] * 19
    assert source.loads == 1
    assert asyncio.run(value.aget_many([(1,), (2,)])) == [1, 1]


def test_an_async_query_is_awaited_when_called(shop: Warmer) -> None:
    """And readable from plain code, too."""

    @shop.cached(ttl=60, name="later", version="1")
    async def later(number: int) -> int:
        await asyncio.sleep(0)
        return number

    assert asyncio.run(later(7)) == 7
    assert later.read(7).state == "fresh"
    assert later.read(8).value == 8


def test_many_at_once_keep_their_order(shop: Warmer) -> None:
    """Hits and misses together."""

    @shop.cached(ttl=60, name="square", version="1")
    def square(number: int) -> int:
        return number * number

    square(3)
    assert square.get_many([(5,), {"number": 3}, square.bind(1), (5,)]) == [25, 9, 1, 25]


def test_with_redis_away_reads_load_under_a_bound_and_recover(namespace: str) -> None:
    """One load at a time here; who waits too long for its turn is told so; back again, all is as before."""
    source = Source()
    with ValkeyServer() as server:
        shop = Warmer(namespace, redis_url=server.url, redis_away_loads=1, max_loads=4)
        value = query(shop, source, wait=0.5)
        value(1)
        server.kill()
        assert value(1) == 1
        gate = source.hold(source.loads + 1)
        with ThreadPoolExecutor(2) as pool:
            slow = pool.submit(value, 2)
            wait_until(begun(source, 3), "the load past the cache")
            with pytest.raises(TooManyLoads):
                value(3)
            gate.set()
            assert slow.result(20) == 1
        server.start()
        wait_until(lambda: value.read(4).state == "fresh", "reads through the cache again")
        shop.close()


def test_after_a_restart_of_redis_nothing_stored_before_is_served(namespace: str) -> None:
    """The server's earlier life is another one, whatever its disk brought back."""
    source = Source()
    with ValkeyServer(args={"appendonly": "yes", "appendfsync": "always"}) as server:
        shop = Warmer(namespace, redis_url=server.url)
        value = query(shop, source)
        value(1)
        restart(server, shop)
        source.version = 2
        assert value(1) == 2
        shop.close()
