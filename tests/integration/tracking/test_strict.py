"""Strict queries: from before COMMIT until the outcome is known, nobody is served what was stored."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, create_engine, text, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from tests.strict import JANUARY, KNOWN_S, OTHER, Strict, barred, bring_into_force
from tests.tracked import Flight, Tracked, tracked
from warmer import Warmer
from warmer.core.keyspace import keyspace
from warmer.core.strictness import strict_names
from warmer.errors import BarrierNotRaised, InvalidOption, RedisUnreachable
from warmer.outbox.process import Outbox
from warmer.outbox.relay import Relay
from warmer.runtime.contract import Reader
from warmer.strict import forgetting
from warmer.strict.outcomes import note_use
from warmer.strict.resolving import Resolver
from warmer.testing import Clock, ValkeyServer, wait_until

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


def _synced(flights: Warmer) -> bool:
    with contextlib.suppress(RedisUnreachable):
        flights.runtime().resync()
        return True
    return False


@pytest.fixture
def clock(made: Tracked, warmer_clock: Callable[..., Clock]) -> Clock:
    """The clock of the tracked namespace."""
    return warmer_clock(made.flights)


@pytest.fixture
def strict(made: Tracked, clock: Clock) -> Strict:
    """The strict query, with what it gives for January stored."""
    strict = Strict(made, clock)
    assert strict.query(*JANUARY) == 0
    assert strict.is_stored()
    return strict


@pytest.fixture
def seam(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], None]]]:
    """What is put here is done between COMMIT and its invalidation, once."""
    todo: list[Callable[[], None]] = []
    apply = Outbox.apply

    def between(self: Outbox, changes: Any, *more: Any) -> Any:
        while todo:
            todo.pop()()
        return apply(self, changes, *more)

    monkeypatch.setattr(Outbox, "apply", between)
    yield todo
    assert todo == []


def test_between_commit_and_invalidation_nobody_is_served_the_old_value(
    strict: Strict, seam: list[Callable[[], None]]
) -> None:
    """Who sees the new row in the database reads it from the query, too; and nothing of that is stored."""
    seen: list[Any] = []

    def read() -> None:
        seen.extend([strict.query(*JANUARY), strict.query.read(*JANUARY).state, strict.is_stored()])
        seen.append(strict.query.refresh(*JANUARY))
        seen.append(strict.is_stored())

    seam.append(read)
    strict.set_delay(5)
    assert seen == [5, "loaded", False, 5, False]

    assert strict.query(*JANUARY) == 5
    assert strict.is_stored()
    assert barred(strict.made.flights) == {}


def test_an_eventual_query_may_be_stale_there(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """Beside it, a query that is not strict shows what strict is for; its entries are not dropped before."""
    strict.made.fill()
    seen: list[Any] = []
    seam.append(lambda: seen.append(strict.made.delays(*JANUARY)))
    strict.set_delay(5)

    assert seen == [0]
    assert strict.made.delays(*JANUARY) == 5


def test_what_a_transaction_does_not_concern_is_not_barred(
    strict: Strict, seam: list[Callable[[], None]]
) -> None:
    """Rows of one carrier bar the entries of that one, and of no other."""
    strict.query(*OTHER)
    seen: list[Any] = []
    seam.append(lambda: seen.extend([strict.is_stored(OTHER), strict.query.read(*OTHER).state]))
    strict.set_delay(5)

    assert seen == [True, "fresh"]


def test_a_load_that_began_before_the_barrier_is_not_stored(
    strict: Strict, seam: list[Callable[[], None]]
) -> None:
    """Its lease is older than the barrier, whatever it has read."""
    flights, reading = strict.made.flights, strict.made.flights.readings["delay"]
    handle = strict.query.bind(*JANUARY)
    names = reading.names_of(handle.params, handle.entry_key).all()
    store = flights.runtime().store
    strict.query.invalidate(*JANUARY)
    lease = store.acquire(handle.entry_key, names, "before", timeout_us=10**7, newer_than=0)
    seam.append(lambda: None)
    strict.set_delay(5)
    assert lease.kind == "granted"
    assert store.acquire(handle.entry_key, names, "after", timeout_us=10**7, newer_than=0).stamp > lease.stamp


def test_readers_past_the_cache_share_a_load(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """While an entry is barred, those who ask at the same time wait for one load."""
    seen: list[int] = []

    def read() -> None:
        before = strict.loads

        async def many() -> list[int]:
            return await asyncio.gather(*(strict.query.aget(*JANUARY) for _ in range(50)))

        assert asyncio.run(many()) == [5] * 50
        seen.append(strict.loads - before)

    seam.append(read)
    strict.set_delay(5)
    assert seen[0] <= 3


def test_a_get_many_goes_past_the_cache_too(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """Of many entries, what is barred is loaded and not stored, and the rest is read."""
    strict.query(*OTHER)
    seen: list[Any] = []
    seam.append(lambda: seen.append((strict.query.get_many([JANUARY, OTHER]), strict.is_stored())))
    strict.set_delay(5)

    assert seen == [([5, 0], False)]


def test_it_is_raised_and_lowered_with_a_stamp(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """No load that began before either is stored after it, whatever else the transaction stamps."""
    store, stamps = strict.made.flights.runtime().store, []
    name = strict_names(["c:flights:carrier=s~UA,month=n~1"], ())[0]

    def note() -> None:
        stamps.append(float(store.command("ZSCORE", store.roots[0] + b"fence", name) or 0))

    note()
    seam.append(note)
    strict.set_delay(5)
    note()
    assert sorted(set(stamps)) == stamps
    assert len(set(stamps)) == 3


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_two_transactions_on_one_name(strict: Strict) -> None:
    """The name is barred while either is open to view, and free when both are over."""
    flights = strict.made.flights
    with strict.made.sessions() as one, strict.made.sessions() as two:
        one.connection().begin_nested()
        one.execute(text("SELECT 1"))
        one.rollback()
        one.add(Flight(carrier="UA", month=1, delay=3))
        two.add(Flight(carrier="UA", month=1, delay=4))
        one.flush()
        two.flush()
        tracker = flights._tracker
        assert tracker is not None
        tracker._write(one.connection())
        tracker._write(two.connection())
        tokens = {len(held.split()) for held in barred(flights).values()}
        assert tokens == {2}
        one.commit()
        assert {len(held.split()) for held in barred(flights).values()} == {1}
        assert (strict.query(*JANUARY), strict.is_stored()) == (3, False)
        two.commit()
    assert barred(flights) == {}
    assert (strict.query(*JANUARY), strict.is_stored()) == (7, True)


def test_a_rollback_lowers_it(strict: Strict) -> None:
    """What was rolled back after its barrier was raised bars nothing for long."""
    flights = strict.made.flights
    with strict.made.sessions() as session:
        session.get_one(Flight, 1).delay = 5
        session.flush()
        assert flights._tracker is not None
        flights._tracker._write(session.connection())
        assert barred(flights)
        session.rollback()

    wait_until(lambda: barred(flights) == {}, "the barrier to be lowered")
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, True)


def test_a_statement_in_autocommit_is_refused(strict: Strict) -> None:
    """It would be committed before anything is barred; what is not strict may be written so."""
    strict.made.flights.track(strict.made.engine)
    with strict.made.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in (update(Flight).values(delay=5), text("UPDATE flights SET delay = 5")):
            with pytest.raises(BarrierNotRaised, match="AUTOCOMMIT"):
                connection.execute(statement)
        connection.execute(text("DELETE FROM bags"))

    strict.query.invalidate_all()
    assert strict.query(*JANUARY) == 0


def test_sql_as_text_bars_its_table(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """Which rows it changes is not known, so all entries that depend on the table are barred."""
    strict.query(*OTHER)
    seen: list[Any] = []
    seam.append(lambda: seen.extend([strict.query(*OTHER), strict.is_stored(OTHER)]))
    with strict.made.sessions.begin() as session:
        session.execute(text("UPDATE flights SET delay = 7"))

    assert seen == [7, False]
    assert strict.query(*JANUARY) == 7


def test_a_writer_that_has_no_strict_query_of_its_own_bars_them(strict: Strict) -> None:
    """It learns of them through Redis, before its first COMMIT."""
    settings = strict.made.flights.settings
    other = tracked(settings.namespace, settings.redis_url, create_engine(strict.made.engine.url))
    try:
        with other.sessions() as session:
            session.get_one(Flight, 1).delay = 5
            session.flush()
            assert other.flights._tracker is not None
            other.flights._tracker._write(session.connection())
            assert barred(strict.made.flights)
            assert not strict.is_stored()
            session.commit()
    finally:
        other.flights.close()
        other.engine.dispose()
    assert (strict.query(*JANUARY), strict.is_stored()) == (5, True)


def test_an_async_session_bars_and_lowers(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """What is written from asyncio, and what is rolled back there."""
    url = strict.made.engine.url
    engine = create_async_engine(url.set(drivername=DRIVERS[url.get_backend_name()]))
    sessions = async_sessionmaker(engine)
    strict.made.flights.track(sessions)
    seen: list[Any] = []
    seam.append(lambda: seen.extend([strict.query(*JANUARY), strict.is_stored()]))

    async def write() -> None:
        async with sessions.begin() as session:
            (await session.get_one(Flight, 1)).delay = 5
        async with sessions() as session:
            (await session.get_one(Flight, 1)).delay = 6
            await session.flush()
            connection = await session.connection()
            assert strict.made.flights._tracker is not None
            await connection.run_sync(strict.made.flights._tracker._write)
            assert barred(strict.made.flights)
            await session.rollback()
        await engine.dispose()

    asyncio.run(write())
    assert seen == [5, False]
    wait_until(lambda: barred(strict.made.flights) == {}, "the barrier to be lowered")
    assert (strict.query(*JANUARY), strict.is_stored()) == (5, True)


def test_a_barrier_is_up_in_every_shard(
    engine: Engine, namespace: str, redis_url: str, warmer_clock: Callable[..., Clock]
) -> None:
    """Entries of one row may lie in any shard; each is dropped, barred and freed."""
    made = tracked(f"{namespace}-shards", redis_url, engine, shards=16)
    strict = Strict(made, warmer_clock(made.flights))
    store = made.flights.runtime().store
    try:
        calls = [("UA", month) for month in range(1, 60)]
        strict.query.get_many(calls)
        with made.sessions() as session:
            session.execute(text("UPDATE flights SET delay = 3"))
            assert made.flights._tracker is not None
            made.flights._tracker._write(session.connection())
            assert not any(strict.is_stored(call) for call in calls)
            assert all(store.command("HLEN", root + b"barred") for root in store.roots)
            session.commit()
        assert not any(store.command("HLEN", root + b"barred") for root in store.roots)
        assert strict.query(*JANUARY) == 3
    finally:
        made.flights.close()


def test_a_message_for_a_barred_entry_is_put_off(strict: Strict, seam: list[Callable[[], None]]) -> None:
    """A worker stores nothing then; the entry is due again soon."""
    flights, reading = strict.made.flights, strict.made.flights.readings["delay"]
    handle, seen = strict.query.bind(*JANUARY), []

    def message() -> None:
        reader = Reader(newer_than=None, servable=False, waits=False)
        seen.append(flights.runtime().join(reading, handle.entry_key, handle.params, reader).result(10).kind)

    seam.append(message)
    strict.set_delay(5)
    assert (seen, strict.is_stored()) == (["barred"], False)


def test_what_a_load_finds_is_barred_too(strict: Strict) -> None:
    """A strict query that calls another is not stored while what the other depends on is barred."""
    flights, write = strict.made.flights, threading.Event()
    begun = threading.Event()

    @flights.cached(ttl=60, name="outer", depends_on={"people": ()}, consistency="strict")
    def outer(n: int) -> int:
        delay = strict.query(*JANUARY)
        if write.is_set():
            begun.set()
            assert committed.wait(30)
        return delay

    committed = threading.Event()
    outer(1)
    strict.bring_into_force()
    assert flights._tracker is not None
    with strict.made.sessions() as session, ThreadPoolExecutor(1) as pool:
        session.get_one(Flight, 1).delay = 5
        session.flush()
        flights._tracker._write(session.connection())
        assert (outer(2), outer.bind(2).entry()) == (0, None)
        write.set()  # the load begins under the barrier, and reads the old row
        reading = pool.submit(outer, 1)
        assert begun.wait(30)
        session.commit()
        committed.set()
        reading.result(30)
        write.clear()
    assert outer(1) == 5


def test_a_transaction_that_drops_too_much_fails(strict: Strict) -> None:
    """Above the limit nothing is committed, the error says so, and nothing stays barred."""
    limited = tracked(
        strict.made.flights.namespace, strict.made.flights.settings.redis_url, strict.made.engine,
        strict_max_entries=1,
    )  # fmt: skip
    strict.query(*OTHER)
    try:
        with limited.sessions() as session:
            session.execute(text("UPDATE flights SET delay = 9"))
            limited.flights.record(session, Flight)
            with pytest.raises(BarrierNotRaised, match="strict_max_entries"):
                session.commit()
    finally:
        limited.flights.close()
    wait_until(lambda: barred(strict.made.flights) == {}, "what was raised to be lowered")
    strict.query.invalidate_all()
    assert strict.query(*JANUARY) == 0


def test_without_redis_the_transaction_fails(made: Tracked, namespace: str, warmer_clock: Any) -> None:
    """What can't be barred is not committed; where nothing strict is concerned, Redis may be away."""
    with ValkeyServer() as server:
        away = tracked(f"{namespace}-away", server.url, made.engine)
        clock = Clock(away.flights)
        try:
            strict = Strict(away, clock)
            server.stop()
            with pytest.raises(BarrierNotRaised, match="unchanged"):
                strict.set_delay(5)
            with away.sessions.begin() as session:
                session.get_one(Flight, 1).bags.clear()
        finally:
            away.flights.close()
    with made.sessions() as session:
        assert session.get_one(Flight, 1).delay == 0


def test_a_new_strict_query_is_not_in_force_at_once(made: Tracked, clock: Clock) -> None:
    """Until every writer knows of it, it is loaded past the cache and nothing is stored."""
    seen = []

    @made.flights.cached(ttl=60, name="fresh", depends_on={Flight: ()}, consistency="strict")
    def fresh(n: int) -> int:
        seen.append(n)
        return n

    assert [fresh(1), fresh(1)] == [1, 1]
    assert (seen, fresh.bind(1).entry()) == ([1, 1], None)
    made.flights.relay()
    fresh(1)
    assert len(seen) == 3

    bring_into_force(made.flights, clock)
    assert [fresh(1), fresh(1)] == [1, 1]
    assert len(seen) == 4


def test_a_query_that_does_not_come_into_force_is_told_of(
    namespace: str, redis_url: str, warmer_clock: Callable[..., Clock], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a process that knows the database it is right, but never cached: the log says so."""
    flights = Warmer(f"{namespace}-alone", redis_url=redis_url)

    @flights.cached(ttl=60, name="alone", depends_on={"flights": ()}, consistency="strict")
    def alone(n: int) -> int:
        return n

    clock = warmer_clock(flights)
    assert [alone(1), alone(1)] == [1, 1]
    clock.advance(61)
    assert alone.bind(1).entry() is None
    flights.close()
    assert "alone" in next(message for message in caplog.messages if "not in force" in message)


def test_a_transaction_that_is_open_keeps_a_new_one_out_of_force(made: Tracked, clock: Clock) -> None:
    """Its writer may not have known of the query: what it commits has barred nothing."""

    @made.flights.cached(ttl=60, name="later", depends_on={Flight: ()}, consistency="strict")
    def later(n: int) -> int:
        return n

    with made.engine.begin() as connection:
        note_use(connection, made.flights.namespace)  # else a relay does, and that is the latest transaction
    with Session(made.engine) as session:
        session.get_one(Flight, 1).delay = 5
        session.flush()
        later(1)
        clock.advance(KNOWN_S)
        if made.engine.dialect.name == "postgresql":
            made.flights.relay()
            later(1)
            assert later.bind(1).entry() is None
        session.commit()
    wait_until(lambda: not made.flights.runtime().strict.survey().waiting, "it to be in force", timeout_s=60)


def test_after_a_restart_nothing_is_in_force(engine: Engine, namespace: str) -> None:
    """Barriers may have been lost with the server: it is found out anew who was writing."""
    with ValkeyServer() as server:
        made = tracked(namespace, server.url, engine)
        clock = Clock(made.flights)
        try:
            strict = Strict(made, clock)
            strict.query(*JANUARY)
            assert strict.is_stored()
            server.restart()
            wait_until(lambda: _synced(made.flights), "the server to be known again")
            assert (strict.query(*JANUARY), strict.is_stored()) == (0, False)
            bring_into_force(made.flights, clock)
            assert (strict.query(*JANUARY), strict.is_stored()) == (0, True)
        finally:
            made.flights.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # on SQLite its lock tells
def test_after_flushall_who_was_writing_is_found_out_anew(engine: Engine, namespace: str) -> None:
    """It loses barriers without a new life: what was known before of open transactions does not count."""
    with ValkeyServer() as server, redis.Redis.from_url(server.url) as client:
        made = tracked(namespace, server.url, engine)
        clock = Clock(made.flights)
        try:
            strict = Strict(made, clock)
            relay = Relay(made.flights, hold_s=0.0)
            strict.query(*JANUARY)
            clock.advance(KNOWN_S)
            client.hdel(keyspace(namespace, 0).in_force, *made.flights.runtime().strict.survey().names)
            wait_until(lambda: _is_in_force(made.flights, relay), "it to be in force", timeout_s=60)
            with Session(engine) as session:
                session.get_one(Flight, 1).delay = 5
                session.flush()
                client.flushall()
                wait_until(lambda: _synced(made.flights), "the queries to be told of again")
                clock.advance(KNOWN_S)
                relay.step()
                assert made.flights.runtime().strict.survey().waiting
                session.rollback()
            wait_until(lambda: _is_in_force(made.flights, relay), "it to be in force", timeout_s=60)
        finally:
            made.flights.close()


def _is_in_force(flights: Warmer, relay: Relay) -> bool:
    """After one more look. Transactions in other databases of the server are waited for, too."""
    relay.step()
    return not flights.runtime().strict.survey().waiting


def _silence(flights: Warmer, days: float) -> str:
    """The only strict query's name; no process has said for so long that it has it."""
    store, key = flights.runtime().store, keyspace(flights.namespace, 0).strict_since
    (name,) = flights.runtime().strict.survey().names
    record = store.command("HGET", key, name)
    since, seen = (int(part) for part in record[8:].split())
    store.command("HSET", key, name, record[:8] + b"%d %d" % (since, seen - round(days * 86_400e6)))
    return name


def test_a_strict_query_that_nobody_has_any_more_is_forgotten(strict: Strict) -> None:
    """A week after a process last spoke of it: then nobody bars for it, and nothing of it is left stored."""
    flights = strict.made.flights
    _silence(flights, 6.9)
    flights.relay()
    assert (len(flights.runtime().strict.survey().names), strict.is_stored()) == (1, True)

    _silence(flights, 0.2)
    flights.relay()

    assert (len(flights.runtime().strict.survey().names), strict.is_stored()) == (0, False)


def test_a_process_that_has_slept_brings_its_strict_query_into_force_anew(strict: Strict) -> None:
    """What it has was forgotten meanwhile: nothing of it is stored until all writers know of it again."""
    flights = strict.made.flights
    _silence(flights, 8)
    flights.relay()
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, False)
    flights.runtime().resync()
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, False)

    strict.bring_into_force()

    assert (strict.query(*JANUARY), strict.is_stored()) == (0, True)


def test_a_strict_query_that_is_brought_into_force_meanwhile_is_not_forgotten(
    strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers must bar for what is in force, however long ago anybody spoke of it."""
    flights = strict.made.flights
    _silence(flights, 8)
    monkeypatch.setattr(forgetting, "_put_out_of_force", lambda *_: None)  # as if it had been, and was again

    flights.relay()

    assert (len(flights.runtime().strict.survey().names), strict.is_stored()) == (1, True)


def test_what_was_seen_before_it_was_forgotten_brings_nothing_into_force(strict: Strict) -> None:
    """Who was about to bring it into force is turned away: nobody bars for it now."""
    flights = strict.made.flights
    resolver = Resolver(flights, 0.0)
    life = (flights.runtime().strict.survey().life, *resolver._sinces())
    name = _silence(flights, 8)
    flights.relay()

    assert not resolver._enforce(life, frozenset({name}))


def test_a_database_whose_transactions_nobody_knows_is_refused(engine: Engine) -> None:
    """What strict needs of a database, PostgreSQL and SQLite have; of others it says so."""
    from warmer.strict.guarding import Guard

    class Other:
        dialect = type("D", (), {"name": "mysql"})

    with pytest.raises(BarrierNotRaised, match="mysql"):
        Guard(Warmer("any"))._identified(Other(), 1, ("!t:flights",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"depends_on": {}},
        {"depends_on": "auto"},
        {"depends_on": {"flights": ()}, "stale_after_write": 5},
        {"depends_on": {"flights": ()}, "near": 5},
        {"depends_on": {"flights": ()}, "browser_max_age": 5},
    ],
)
def test_what_strict_can_not_be_is_an_error(options: dict[str, Any]) -> None:
    """A strict query says what it depends on, and nothing may keep it longer than its barrier allows."""
    with pytest.raises(InvalidOption, match="strict"):

        @Warmer("any").cached(ttl=60, name="q", consistency="strict", **options)
        def q(n: int) -> int:
            return n
