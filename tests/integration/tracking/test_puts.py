"""Values put in tracked transactions: stored at COMMIT, the later writer's or none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session

from tests.tracked import Flight, Tracked
from warmer.errors import NothingToPut, PutUnclear, ResultNotStorable
from warmer.store.operations import Store
from warmer.testing import wait_until

JANUARY = ("UA", 1)


def _delay(session: Session, delay: int, month: int = 1) -> None:
    """Flights of UA in a month are late by so many minutes now."""
    late = update(Flight).where(Flight.carrier == "UA", Flight.month == month).values(delay=delay)
    session.execute(late)


def _stored(made: Tracked, call: tuple[str, int] = JANUARY) -> int | None:
    entry = made.delays.bind(*call).entry()
    return None if entry is None else entry.value


@pytest.fixture(autouse=True)
def _aside(made: Tracked) -> None:
    """What was stamped when the test began lies before every transaction in it, by whatever clock."""
    _pause(made.flights.runtime().store)


def _pause(store: Store) -> None:
    """Until a transaction that begins now began after all that has been stamped, for certain."""
    last = int(store.command("GET", store.roots[0] + b"seq") or 0)
    wait_until(lambda: store.resync_now() > last + 50_000, "the server's clock to be past all stamps")


def test_a_put_is_stored_at_commit(made: Tracked) -> None:
    """Not before, and then without a load; what else the transaction changed goes all the same."""
    made.fill()
    with made.sessions.begin() as session:
        _delay(session, 5)
        made.delays.put(5, *JANUARY)
        assert _stored(made) == 0
        _delay(session, 6, month=2)
    assert (_stored(made), _stored(made, ("UA", 2))) == (5, None)
    assert made.flights.runtime().counts.snapshot()["puts"] == 1


def test_the_last_put_counts_and_the_order_of_writing_does_not(made: Tracked) -> None:
    """A handle's put before the flush that writes is as good as one after it."""
    with made.sessions.begin() as session:
        flight = session.get_one(Flight, 1)
        flight.delay = 7
        made.delays.bind(*JANUARY).put(6)
        made.delays.bind(*JANUARY).put(7)
    assert _stored(made) == 7


def test_a_rollback_drops_what_was_put(made: Tracked) -> None:
    """Of a transaction, and of a savepoint: what was put before the savepoint stays."""
    with made.sessions() as session:
        _delay(session, 5)
        made.delays.put(5, *JANUARY)
        session.rollback()
    assert _stored(made) is None
    with made.sessions.begin() as session:
        _delay(session, 8)
        made.delays.put(8, *JANUARY)
        for delay in (9, 10):
            inner = session.begin_nested()
            _delay(session, delay)
            made.delays.put(delay, *JANUARY)
            made.delays.put(delay, "UA", 2)
            inner.rollback()
    assert (_stored(made), _stored(made, ("UA", 2))) == (8, None)


def test_a_released_savepoints_put_is_stored(made: Tracked) -> None:
    """It is its transaction's then."""
    with made.sessions.begin() as session, session.begin_nested():
        _delay(session, 9)
        made.delays.put(9, *JANUARY)
    assert _stored(made) == 9


def test_a_put_needs_one_transaction(made: Tracked, engine: Engine) -> None:
    """Without one, in autocommit, or among several, it says what to do. What can't be stored is refused."""
    with pytest.raises(NothingToPut, match="tracked transaction"):
        made.delays.put(5, *JANUARY)
    with made.sessions() as one, made.sessions() as other:
        one.get_one(Flight, 1)
        with pytest.raises(ResultNotStorable):
            made.delays.put("5", *JANUARY)  # type: ignore[arg-type]
        other.get_one(Flight, 1)
        with pytest.raises(PutUnclear, match="2 tracked transactions"):
            made.delays.put(5, *JANUARY)
    made.flights.track(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(update(Flight).values(delay=1))
        with pytest.raises(NothingToPut):
            made.delays.put(5, *JANUARY)


class Writer:
    """A session in a context of its own, as another thread or task has one."""

    def __init__(self, made: Tracked) -> None:
        self._made, self.run = made, copy_context().run
        self.session = made.sessions()

    def begin(self) -> None:
        self.run(self.session.connection)

    def commit(self, delay: int, *, put: bool = True) -> None:
        """Flights of UA in January are late by so many minutes, and that is what it puts."""
        self.run(_delay, self.session, delay)
        if put:
            self.run(self._made.delays.put, delay, *JANUARY)
        self.run(self.session.commit)


@pytest.mark.parametrize("how", ["entry", "part", "row"])
def test_who_else_writes_meanwhile_refuses_the_value(made: Tracked, how: str) -> None:
    """What the transaction has read may be older than that: a value computed from it is not stored."""
    writer, other = Writer(made), Writer(made)
    delay = writer.run(writer.session.get_one, Flight, 1).delay
    if how == "entry":
        made.delays.invalidate(*JANUARY)
    elif how == "part":
        made.delays.invalidate_where(carrier="UA")
    else:
        other.commit(40, put=False)
    writer.commit(delay + 1)

    assert _stored(made) is None
    assert made.flights.runtime().counts.snapshot()["puts_overtaken"] == 1


@pytest.mark.parametrize(
    ("steps", "stays"), [("a A b B", None), ("a b A B", None), ("a b B A", None), ("a A begin b B", ord("b"))]
)
def test_of_two_writers_the_later_commits_value_or_none_stays(
    made: Tracked, monkeypatch: pytest.MonkeyPatch, steps: str, stays: int | None
) -> None:
    """They commit (a, b) and apply (A, B), both begun before, or the later one after the other's end."""
    waiting: list[Callable[[], Any]] = []
    apply = made.flights.outbox.apply
    monkeypatch.setattr(
        made.flights.outbox, "apply", lambda *what, **how: waiting.append(partial(apply, *what, **how))
    )
    writers = {name: Writer(made) for name in "ab"}
    applying: dict[str, Callable[[], Any]] = {}
    if "begin" not in steps:
        for writer in writers.values():
            writer.begin()
    for step in steps.split():
        if step == "begin":
            _pause(made.flights.runtime().store)
        elif step in writers:
            writers[step].commit(ord(step))
            applying[step.upper()] = waiting.pop()
        else:
            applying[step]()

    assert _stored(made) == stays


def test_a_commit_of_unknown_outcome_stores_nothing(made: Tracked) -> None:
    """The connection is lost in COMMIT: what the transaction changed goes, its value is not stored."""
    made.fill()
    dialect = made.engine.dialect
    commit = dialect.do_commit

    def lost(connection: Any) -> None:
        commit(connection)
        raise ConnectionAbortedError("lost")

    dialect.do_commit = lost  # type: ignore[assignment,method-assign]  # before it is tracked
    with made.sessions() as session:
        _delay(session, 5)
        made.delays.put(5, *JANUARY)
        with pytest.raises(ConnectionAbortedError):
            session.commit()
    dialect.do_commit = commit  # type: ignore[method-assign]

    assert made.gone() == {JANUARY}


@pytest.mark.parametrize("wrote", [True, False])
def test_a_writing_block_in_a_transaction_waits_for_it(made: Tracked, wrote: bool) -> None:
    """At its end nothing is stored; what it has put is, or is not, with the transaction."""
    for ends in ("commit", "rollback"):
        _pause(made.flights.runtime().store)
        with made.sessions() as session:
            flight = session.get_one(Flight, 1)
            with made.delays.writing(*JANUARY) as writing:
                flight.delay += 3
                if wrote:
                    session.flush()
                writing.put(flight.delay)
            assert (writing.stored, _stored(made)) == (False, None)
            getattr(session, ends)()
        assert (writing.stored, _stored(made)) == ((True, 3) if ends == "commit" else (False, None))
        made.delays.invalidate(*JANUARY)


@pytest.mark.parametrize("where", ["inside", "after"])
def test_a_writing_block_around_a_transaction_stores_its_value(made: Tracked, where: str) -> None:
    """What the transaction applies is the write's own, and does not refuse it; another's does."""
    made.fill()
    for other in (False, True):
        with made.delays.writing(*JANUARY) as writing:
            with made.sessions.begin() as session:
                _delay(session, 4)
                if where == "inside":
                    writing.put(4)
            if other:
                Writer(made).commit(40, put=False) if where == "inside" else made.delays.invalidate(*JANUARY)
            writing.put(4) if where == "after" else None
        assert (writing.stored, _stored(made)) == ((True, 4) if not other else (False, None))


def test_a_write_of_another_thread_in_the_block_is_not_its_own(made: Tracked) -> None:
    """Though it has inherited the context: nobody knows whether the value has seen it."""
    with made.delays.writing(*JANUARY) as writing:
        with made.sessions.begin() as session:
            _delay(session, 4)
        writer = Writer(made)
        thread = Thread(target=partial(writer.commit, 40, put=False))
        thread.start()
        thread.join()
        writing.put(4)

    assert (writing.stored, _stored(made)) == (False, None)


def test_a_transaction_after_the_value_refuses_it(made: Tracked) -> None:
    """In the same block: it is not where the value came from."""
    with made.delays.writing(*JANUARY) as writing:
        with made.sessions.begin() as session:
            _delay(session, 4)
        writing.put(4)
        with made.sessions.begin() as session:
            _delay(session, 5)

    assert (writing.stored, _stored(made)) == (False, None)


def test_puts_of_async_sessions(made: Tracked) -> None:
    """`put` waits for nothing, and is stored when the `await` of the commit has returned."""
    url = made.engine.url
    driver = "sqlite+aiosqlite" if url.get_backend_name() == "sqlite" else "postgresql+psycopg"

    async def write() -> None:
        engine = create_async_engine(url.set(drivername=driver))
        sessions = async_sessionmaker(engine)
        made.flights.track(sessions)
        async with sessions.begin() as session:
            await session.execute(update(Flight).where(Flight.id == 1).values(delay=6))
            made.delays.put(6, *JANUARY)
            assert _stored(made) is None
        assert _stored(made) == 6
        async with made.delays.writing("UA", 2) as writing:
            async with sessions.begin() as session:
                await session.execute(update(Flight).where(Flight.id == 2).values(delay=7))
            writing.put(7)
        assert writing.stored
        async with sessions() as session:
            await session.execute(update(Flight).where(Flight.id == 3).values(delay=8))
            made.delays.put(8, "AA", 1)
            await session.rollback()
        await engine.dispose()

    asyncio.run(write())
    assert (_stored(made), _stored(made, ("UA", 2)), _stored(made, ("AA", 1))) == (6, 7, None)
