"""What would break the promise of strict queries is refused, and nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text, update

from tests.strict import JANUARY, OTHER, Strict, barred
from tests.tracked import Flight, Tracked, tracked
from warmer import Warmer
from warmer.errors import BarrierNotRaised, InvalidOption
from warmer.testing import Clock, ValkeyServer, wait_until


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
