"""The outbox: what is committed is never lost, and nothing is applied before it is committed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event, func, insert, select, text, update
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.tracked import Flight, Tracked, tracked
from warmer import Warmer
from warmer.core.changes import Changes
from warmer.errors import NotTrackable, OutboxMissing, OutboxOutdated
from warmer.outbox import horizon, rows, schema
from warmer.outbox.lives import Lives
from warmer.outbox.relay import Relay
from warmer.outbox.schema import outbox
from warmer.outbox.settling import Settled
from warmer.testing import ValkeyServer, wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JANUARY, FEBRUARY, OTHER = ("UA", 1), ("UA", 2), ("AA", 1)


def _pending(engine: Engine) -> int:
    with engine.connect() as connection:
        waiting = select(func.count()).select_from(outbox).where(outbox.c.applied_at.is_(None))
        return int(connection.execute(waiting).scalar_one())


def _kept(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(outbox)).scalar_one())


@contextmanager
def _driver(engine: Engine) -> Iterator[Any]:
    """A connection of the database's own driver, as a program without SQLAlchemy has one."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database), timeout=30)) as plain:
            yield plain
    else:
        with psycopg.connect(url.set(drivername="postgresql").render_as_string(False)) as connection:
            yield connection


def test_applied_changes_are_marked_and_kept(made: Tracked) -> None:
    """A commit leaves a row that is soon marked as applied, and stays for the replay window."""
    made.gone_after(lambda s: s.execute(update(Flight).where(Flight.id == 1).values(delay=1)))

    wait_until(lambda: _pending(made.engine) == 0, "the row to be marked")
    assert _kept(made.engine) == 1
    with made.engine.connect() as connection:
        assert connection.execute(select(outbox.c.stamp)).scalar_one() > 0


def test_rows_go_when_their_replay_window_is_over(made: Tracked) -> None:
    """What was applied long enough ago is taken; what is not applied stays, however old."""
    changes = Changes()
    changes.add_rows("flights", None)
    with made.engine.begin() as connection:
        kept = rows.write(connection, made.flights.namespace, changes, own=False)
        gone = rows.write(connection, made.flights.namespace, changes, own=False)
        rows.mark(connection, [gone], Settled("1a2b3c4d", 1))
        connection.execute(update(outbox).values(recorded_at=text("'2001-01-01 00:00:00'")))
        connection.execute(
            update(outbox).where(outbox.c.id == gone).values(applied_at=text("'2001-01-01 00:00:00'"))
        )

        assert rows.prune(connection, made.flights.namespace, 86_400) == 1
        assert [row.id for row in rows.pending(connection, made.flights.namespace, 10)] == [kept]


def test_a_table_of_an_earlier_release(made: Tracked) -> None:
    """Without the column that says in which life of Redis a row was applied, writers go on, and their rows
    stay unmarked; who looks at them is told how to add it, and `warmer db create` does.
    """
    with made.engine.begin() as connection:
        connection.execute(text("DROP INDEX warmer_outbox_marks"))
        connection.execute(text("CREATE INDEX warmer_outbox_lives ON warmer_outbox (stamp)"))
        connection.execute(text("ALTER TABLE warmer_outbox DROP COLUMN life"))
    made.gone_after(lambda session: session.execute(update(Flight).where(Flight.id == 1).values(delay=1)))
    made.flights.outbox.close()
    with pytest.raises(
        OutboxOutdated, match=schema.ADD_LIFE.replace("(", r"\(").replace(")", r"\)")
    ) as raised:
        made.flights.relay()
    assert raised.value.args == (raised.value.url, raised.value.statement)

    with made.engine.begin() as connection:
        assert schema.lacks(connection) == ("life", "warmer_outbox_marks")
        assert not schema.create(connection)
        assert schema.lacks(connection) == schema.alterations(connection) == ()
    assert made.flights.relay() == 1
    assert _pending(made.engine) == 0


def test_the_table_is_created_by_one_of_several_at_once(engine: Engine) -> None:
    """The others find that it was there: every process of a deployment may create it as it starts."""

    def create(together: Barrier) -> bool:
        other = create_engine(engine.url, poolclass=NullPool)
        together.wait(10)
        with other.begin() as connection:
            return schema.create(connection)

    for _ in range(3):
        with engine.begin() as connection:
            schema.metadata.drop_all(connection)
        together = Barrier(4)
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(create, [together] * 4)) == 1
        with engine.begin() as connection:
            assert schema.lacks(connection) == ()


def test_how_far_back_the_outbox_is_whole(made: Tracked) -> None:
    """With rows that are pruned, the newest stamp of each life is written down."""
    name, marks = made.flights.namespace, (("a" * 8, 5), ("a" * 8, 3), ("b" * 8, 4))
    with made.engine.begin() as connection:
        for life, stamp in marks:
            row = rows.write(connection, name, Changes(queries={"delays"}), own=False)
            rows.mark(connection, [row], Settled(life, stamp))
            assert rows.prune(connection, name, -10) == 1
        assert dict(horizon.read(connection, name)) == {"a" * 8: 5, "b" * 8: 4}
        row = rows.write(connection, name, Changes(queries={"delays"}), own=False)
        rows.mark(connection, [row], Settled("c" * 8, 9))
        connection.execute(update(outbox).values(life=None))
        rows.prune(connection, name, -10)
        assert set(horizon.read(connection, name)) == {"a" * 8, "b" * 8, horizon.UNKNOWN}


def test_a_mark_of_another_life_stays_unless_it_is_applied_again(made: Tracked) -> None:
    """A writer that was paused does not say that its row was applied elsewhere, when it was applied here."""
    name, lives = made.flights.namespace, Lives("b" * 8, {"a" * 8: 5, "b" * 8: 9}, "a" * 8, "", True, "")
    with made.engine.begin() as connection:
        for life, stamp in (("a" * 8, 5), ("a" * 8, 6), ("b" * 8, 8), ("c" * 8, 1), ("", 1)):
            row = rows.write(connection, name, Changes(queries={"delays"}), own=False)
            rows.mark(connection, [row], Settled(life, stamp))
            rows.mark(connection, [row], Settled("0" * 8, 1))
        found = rows.elsewhere(connection, name, lives.lacks(), 10)
        assert [row.id for row in found] == [2, 4]

        rows.mark(connection, [2, 4], Settled("b" * 8, 10), again=True)

        assert not rows.elsewhere(connection, name, lives.lacks(), 10)


def test_marks_of_other_lives_are_looked_for_by_their_index(made: Tracked) -> None:
    """In the usual case there are none, and the whole table is not read to find that out."""
    lives = Lives("b" * 8, {"a" * 8: 3000, "b" * 8: 3000}, "a" * 8, "", True, "")
    marked = [
        {"namespace": "n", "own": False, "changes": "{}", "life": life * 8, "stamp": stamp, "applied_at": NOW}
        for life in "ab"
        for stamp in range(3000)
    ]
    asked: list[tuple[str, Any]] = []
    with made.engine.begin() as connection:
        connection.execute(insert(outbox), marked, execution_options=rows.OURS)
        connection.execute(text("ANALYZE"))
        event.listen(made.engine, "before_cursor_execute", lambda *told: asked.append((told[2], told[3])))
        assert rows.elsewhere(connection, "n", lives.behind(lives.settled), 500) == []
        ((statement, parameters),) = asked
        explain = "EXPLAIN" if made.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        told = connection.exec_driver_sql(f"{explain} {statement}", parameters)
        plan = [" ".join(map(str, row)) for row in told]
    assert any("warmer_outbox_marks" in line for line in plan), plan
    assert not any("Seq Scan" in line or "SCAN warmer_outbox" in line for line in plan), plan


def test_an_invalidation_waits_for_its_transaction(made: Tracked) -> None:
    """Inside a transaction that has written, every kind of invalidation is made at its COMMIT."""
    flights, delays = made.flights, made.delays

    def write(session: Session) -> None:
        session.execute(update(Flight).where(Flight.id == 99).values(delay=1))
        assert delays.invalidate("UA", 1) == 0
        assert made.bags.invalidate_where(flight_id=2) == 0
        assert made.crew.invalidate_all() == 0
        assert flights.invalidate_tags("anything") == 0
        assert made.gone() == set()

    assert made.gone_after(write) == {JANUARY, ("bags", 2), ("crew", 1), ("crew", 2), ("crew", 3)}


def test_an_invalidation_goes_with_its_transaction(made: Tracked) -> None:
    """What is invalidated in a transaction that is rolled back was never meant."""
    made.fill()
    with made.sessions() as session:
        session.execute(update(Flight).where(Flight.id == 1).values(delay=1))
        made.delays.invalidate("UA", 1)
        session.rollback()
        assert made.gone() == set()
        made.delays.invalidate("UA", 1)

    assert made.gone() == {JANUARY}


def test_an_invalidation_in_a_transaction_that_only_reads_is_made_at_once(made: Tracked) -> None:
    """What is invalidated while a transaction has written nothing may be about something else."""
    made.fill()
    with made.sessions() as session:
        session.get_one(Flight, 1)
        assert made.delays.invalidate("UA", 2) == 1

    assert made.gone() == {FEBRUARY}


def test_writers_without_sqlalchemy_record_their_changes(made: Tracked) -> None:
    """A row that a driver's own connection recorded takes effect once it is committed, and relayed."""
    made.fill()
    old, new = {"carrier": "UA", "month": 1}, {"carrier": "UA", "month": 2}
    with _driver(made.engine) as connection:
        connection.cursor().execute("UPDATE flights SET month = 2 WHERE id = 1")
        recorded = made.flights.record(connection, "flights", old=old, new=new)
        connection.commit()
        assert made.gone() == set()

        assert made.flights.relay() == 1
        assert made.gone() == {JANUARY, FEBRUARY}
        made.fill()
        assert recorded.apply()
        assert made.gone() == {JANUARY, FEBRUARY}
    assert _pending(made.engine) == 0


def test_a_rolled_back_record_is_none(made: Tracked) -> None:
    """The record is part of its writer's transaction, and goes with it."""
    with _driver(made.engine) as connection:
        made.flights.record(connection, Flight)
        connection.rollback()

    assert made.flights.relay() == 0


def test_a_record_in_a_tracked_transaction_is_applied_with_it(made: Tracked) -> None:
    """In a session it is one of its changes; a record that does not say which rows means all of them."""
    assert made.gone_after(lambda s: made.flights.record(s, Flight, new={"carrier": "AA", "month": 1})) == {
        OTHER
    }
    assert made.gone_after(lambda s: made.flights.record(s, "flights")) == {JANUARY, FEBRUARY, OTHER}


def test_what_is_no_connection_is_refused(made: Tracked) -> None:
    """Nothing is recorded on what can't hold a transaction, and nothing tracked that opens none."""
    with pytest.raises(NotTrackable, match="DB-API"):
        made.flights.record(object(), "flights")
    with pytest.raises(NotTrackable, match="sessionmaker"):
        made.flights.track("flights")


def test_without_an_outbox_nothing_is_committed(made: Tracked) -> None:
    """A transaction whose changes nobody would hear of fails before its COMMIT, and says what to do."""
    with made.engine.begin() as connection:
        schema.drop(connection)
    with pytest.raises(OutboxMissing, match="warmer db create"), made.sessions.begin() as session:
        session.add(Flight(carrier="UA", month=1))

    with made.sessions() as session:
        assert session.scalar(select(func.count()).select_from(Flight)) == 3


def test_a_transaction_that_fails_before_commit_is_not_left_on_its_connection(made: Tracked) -> None:
    """A session that is closed after it leaves nothing for its connection's next transaction to commit."""
    with made.engine.begin() as connection:
        schema.drop(connection)
    with made.sessions() as session:
        session.add(Flight(carrier="UA", month=1))
        with pytest.raises(OutboxMissing):
            session.commit()
    with Session(made.engine) as session:  # on the same connection
        session.execute(text("SELECT 1"))
        session.commit()

    with create_engine(made.engine.url, poolclass=NullPool).connect() as other:
        assert other.scalar(select(func.count()).select_from(Flight)) == 3


def test_a_commit_without_redis_returns_and_is_applied_later(
    engine: Engine, namespace: str, tmp_path: Any
) -> None:
    """With Redis away a commit returns, is counted, and takes effect when Redis is back, by itself."""
    with ValkeyServer(data_dir=tmp_path / "redis") as server:
        made = tracked(namespace, server.url, engine, invalidate_timeout=0.5, command_timeout=0.5)
        made.fill()
        server.pause()
        try:
            with made.sessions.begin() as session:
                session.get_one(Flight, 1).delay = 4
            assert _pending(engine) == 1
            assert made.flights.runtime().counts.snapshot()["commits_left_to_relay"] == 1
        finally:
            server.resume()
        wait_until(lambda: made.gone() == {JANUARY}, "the change to be applied", timeout_s=30)
        wait_until(lambda: _pending(engine) == 0, "the row to be marked", timeout_s=30)
        made.flights.close()


def test_a_relay_leaves_rows_to_their_writers_for_a_while(made: Tracked) -> None:
    """A row whose writer means to apply it is taken when that one has had its time."""
    changes = Changes()
    changes.add_rows("flights", None)
    with made.engine.begin() as connection:
        rows.write(connection, made.flights.namespace, changes, own=True)
    made.flights.track(made.engine)
    patient = Relay(made.flights)

    assert patient.step() == 0
    assert Relay(made.flights, hold_s=0).step() == 1
    assert patient.step() == 0


def test_older_processes_apply_what_newer_queries_depend_on(made: Tracked, redis_url: str) -> None:
    """A process that knows nothing of a query takes its entries: what they depend on is registered."""
    made.fill()
    newer = Warmer(made.flights.namespace, redis_url=redis_url)
    sessions = made.sessions

    @newer.cached(ttl=600, name="by-delay", version="1", depends_on={Flight: ("delay",)})
    def by_delay(delay: int) -> int:
        with sessions() as session:
            chosen = select(func.count()).select_from(Flight).where(Flight.delay == delay)
            return int(session.scalar(chosen) or 0)

    try:
        assert (by_delay(0), by_delay(5)) == (3, 0)
        with made.sessions.begin() as session:
            session.get_one(Flight, 1).delay = 5
        assert (by_delay(0), by_delay(5)) == (2, 1)
        # Now its columns are known here, too: only what was hit goes.
        assert by_delay(7) == 0
        with made.sessions.begin() as session:
            session.get_one(Flight, 1).delay = 6
        assert (by_delay.bind(5).entry(), by_delay.bind(7).entry() is None) == (None, False)
    finally:
        newer.close()


def test_changes_of_a_later_release_stay_where_they_are(made: Tracked) -> None:
    """A row that this release can't read is left to one that can, and does not hold up the others."""
    with made.engine.begin() as connection:
        unreadable = {"namespace": made.flights.namespace, "own": False, "changes": '{"v":99}'}
        connection.execute(outbox.insert().values(**unreadable))
        made.flights.record(connection, Flight)
    made.flights.track(made.engine)

    assert made.flights.relay() == 1
    assert _pending(made.engine) == 1
