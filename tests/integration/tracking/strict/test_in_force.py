"""A strict query comes into force when everybody who writes knows of it, and not before."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.strict import JANUARY, KNOWN_S, Strict, bring_into_force
from tests.tracked import Flight, Tracked, tracked
from warmer import Warmer
from warmer.core.keyspace import keyspace
from warmer.errors import RedisUnreachable
from warmer.outbox.relay import Relay
from warmer.strict.outcomes import note_use
from warmer.testing import Clock, ValkeyServer, wait_until


def _synced(flights: Warmer) -> bool:
    with contextlib.suppress(RedisUnreachable):
        flights.runtime().resync()
        return True
    return False


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
