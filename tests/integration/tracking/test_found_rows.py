"""Rows found as loads run (`depends_on="auto"`), and the writers that have to know of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session, sessionmaker

from tests.restarting import restart
from tests.tracked import Flight
from warmer import Query, Warmer
from warmer.core.keyspace import keyspace
from warmer.outbox.relay import Relay
from warmer.testing import ValkeyServer

Make = Callable[..., "Process"]
FIRST, SECOND, OTHER = ("UA", 1), ("UA", 2), ("AA", 1)


class Process:
    """One process's namespace: what it reads and writes; `delays` is only there where it was declared."""

    def __init__(self, namespace: str, redis_url: str, engine: Engine) -> None:
        self.flights = Warmer(namespace, redis_url=redis_url)
        self.engine, self.sessions = engine, sessionmaker(engine)
        self.flights.track(self.sessions)
        self.loads: list[tuple[str, int]] = []
        self.after_sql: Callable[[], None] = lambda: None

    def declare(self, **options: Any) -> Query[[str, int], int]:
        def delays(carrier: str, month: int) -> int:
            self.loads.append((carrier, month))
            with Session(self.engine) as session:
                chosen = select(func.sum(Flight.delay))
                found = session.scalar(chosen.where(Flight.carrier == carrier, Flight.month == month)) or 0
            self.after_sql()
            return found

        options = {"ttl": 600, "name": "delays", "version": "1", "depends_on": "auto", **options}
        declared: Query[[str, int], int] = self.flights.cached(**options)(delays)
        return declared

    def declare_other(self) -> None:
        """A query by other columns of the table, so that a writer tells rows, though not by those found."""

        @self.flights.cached(ttl=600, name="months", version="1", depends_on={Flight: ("month",)})
        def months(month: int) -> int:
            return month

        months(1)

    def read(self, *calls: tuple[str, int]) -> list[int]:
        return [self.flights.query("delays")(*call) for call in calls]

    def warm(self, *calls: tuple[str, int]) -> None:
        """Once to find the columns, once more under the rows' names."""
        for call in calls:
            self.flights.query("delays").refresh(*call)
            self.flights.query("delays").refresh(*call)

    def names(self, *call: Any) -> set[str]:
        return {name[0] for name in self.flights.query("delays").read(*call).names} - {"e", "q"}

    def add(self, minutes: int, to: tuple[str, int]) -> None:
        """Through the ORM, committed."""
        with self.sessions.begin() as session:
            _late(session, minutes, to)


def _late(session: Session, minutes: int, to: tuple[str, int]) -> None:
    session.scalars(select(Flight).filter_by(carrier=to[0], month=to[1])).one().delay += minutes
    session.flush()


@pytest.fixture
def process(namespace: str, redis_url: str, engine: Engine) -> Iterator[Make]:
    """Makes namespaces as of several processes."""
    made: list[Process] = []

    def make(url: str = redis_url) -> Process:
        made.append(Process(namespace, url, engine))
        return made[-1]

    yield make
    for one in made:
        one.flights.close()


def test_a_write_drops_the_rows_that_were_found_and_no_others(process: Make) -> None:
    """From the second load on an entry stands under its rows; a row that moves drops both of its lists."""
    reader = process()
    reader.declare()
    reader.read(FIRST)
    assert reader.names(*FIRST) == {"t"}
    reader.warm(FIRST, SECOND, OTHER)
    assert reader.names(*FIRST) == {"c", "a"}
    del reader.loads[:]

    reader.add(5, to=FIRST)
    assert reader.read(FIRST, SECOND, OTHER) == [5, 0, 0]
    assert reader.loads == [FIRST]

    with reader.sessions.begin() as session:
        session.scalars(select(Flight).filter_by(carrier="UA", month=1)).one().carrier = "AA"
    assert reader.read(FIRST, SECOND, OTHER) == [0, 0, 5]
    assert reader.loads == [FIRST, FIRST, OTHER]


def test_a_writer_that_is_at_it_when_the_rows_are_found_drops_them(process: Make) -> None:
    """Its transaction told no columns of its rows, so the whole table is named; its next one tells them."""
    reader, writer = process(), process()
    reader.declare()
    writer.declare_other()
    writer.add(1, to=FIRST)
    with writer.sessions.begin() as session:
        _late(session, 4, to=FIRST)
        reader.warm(FIRST, SECOND)
        assert reader.read(FIRST) == [1]
    assert reader.read(FIRST, SECOND) == [5, 0]
    del reader.loads[:]

    writer.add(1, to=FIRST)
    assert reader.read(FIRST, SECOND) == [6, 0]
    assert reader.loads == [FIRST]


def test_a_load_that_was_under_way_when_the_rows_were_found_is_not_told_by_them(process: Make) -> None:
    """Who wrote before that named no rows by these columns; the whole table was named, and counts."""
    reader, writer = process(), process()
    reader.declare()
    writer.declare_other()

    def meanwhile() -> None:
        reader.after_sql = lambda: None
        with ThreadPoolExecutor(1) as elsewhere:  # what the load's own thread runs, it reads
            elsewhere.submit(writer.add, 5, FIRST).result(30)
            elsewhere.submit(reader.warm, SECOND).result(30)

    reader.after_sql = meanwhile
    assert reader.read(FIRST) == [0]
    assert reader.names(*SECOND) == {"c", "a"}
    assert reader.read(FIRST) == [5]


def test_a_process_that_never_heard_of_the_query_applies_what_was_found(process: Make) -> None:
    """An older process's relay learns the columns from Redis before it names the rows of a change."""
    reader, older = process(), process()
    reader.declare()
    reader.warm(FIRST, SECOND)
    assert older.flights.relay() == 0
    del reader.loads[:]

    with reader.engine.begin() as connection:
        connection.execute(update(Flight).where(Flight.id == 1).values(delay=7))
        row = {"carrier": "UA", "month": 1}
        older.flights.record(connection, Flight, old=row, new=row)
    assert Relay(older.flights, hold_s=0).step() == 1

    assert reader.read(FIRST, SECOND) == [7, 0]
    assert reader.loads == [FIRST]


def test_a_server_that_lost_everything_is_told_of_the_rows_before_the_next_load(
    process: Make, engine: Engine
) -> None:
    """No value stands under rows of which a writer can't learn, however many shapes that one had counted."""
    with ValkeyServer() as server:
        reader, writer = process(server.url), process(server.url)
        reader.declare()
        reader.warm(FIRST)
        writer.declare_other()
        writer.add(1, to=FIRST)
        restart(server, reader.flights, writer.flights, kill=True)
        reader.warm(FIRST, SECOND)
        assert reader.names(*FIRST) == {"c", "a"}
        del reader.loads[:]

        late = process(server.url)
        late.declare_other()
        late.add(4, to=FIRST)
        assert reader.read(FIRST, SECOND) == [5, 0]
        writer.add(1, to=FIRST)
        assert reader.read(FIRST, SECOND) == [6, 0]
        assert reader.loads == [FIRST, FIRST]


def test_a_server_that_is_lost_between_telling_and_the_lease_is_told_before_the_load(
    process: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is of the server's new life, which knows no shapes: they are registered before the load."""
    with ValkeyServer() as server:
        reader, late = process(server.url), process(server.url)
        reader.declare()
        reader.warm(SECOND)
        store = reader.flights.runtime().store
        acquire = store.acquire

        def lost_before(*args: Any, **options: Any) -> Any:
            monkeypatch.setattr(store, "acquire", acquire)
            with redis.Redis.from_url(server.url) as client:  # as if a replica that lacks them were promoted
                client.replicaof("127.0.0.1", 1)
                client.replicaof("NO", "ONE")
                client.delete(keyspace(store.namespace, 0).shapes)
            late.declare_other()
            return acquire(*args, **options)

        def meanwhile() -> None:
            reader.after_sql = lambda: None
            with ThreadPoolExecutor(1) as elsewhere:
                elsewhere.submit(late.add, 5, FIRST).result(30)

        monkeypatch.setattr(store, "acquire", lost_before)
        reader.after_sql = meanwhile
        assert reader.read(FIRST) == [0]
        assert reader.read(FIRST) == [5]


def test_who_counted_as_many_before_a_restart_learns_what_is_there_now(process: Make) -> None:
    """As many shapes as before are not the same ones: a writer asks again in each life of the server."""
    with ValkeyServer() as server:
        writer = process(server.url)
        gone = process(server.url)

        gone.declare_other()
        writer.add(1, to=FIRST)
        gone.flights.close()
        restart(server, writer.flights, kill=True)
        reader = process(server.url)
        reader.declare()
        reader.warm(SECOND, FIRST)  # in this order FIRST was never listed under the whole table

        writer.add(4, to=FIRST)
        assert reader.read(FIRST) == [5]


def test_entries_of_a_batch_depend_on_all_that_its_run_has_read(process: Make) -> None:
    """One statement for many is any row of the table; a load of one entry's own is by its rows again."""
    reader = process()

    def many(calls: list[tuple[str, int]]) -> list[int]:
        with Session(reader.engine) as session:
            sums = dict(session.execute(_sums(calls)).all())
        return [int(sums.get(f"{carrier} {month}", 0)) for carrier, month in calls]

    delays = reader.declare(batch=many)
    assert delays.get_many([FIRST, OTHER]) == [0, 0]
    assert reader.names(*FIRST) == reader.names(*OTHER) == {"t"}
    reader.add(5, to=FIRST)
    assert delays.get_many([FIRST, OTHER]) == [5, 0]

    reader.warm(FIRST)
    assert (reader.names(*FIRST), reader.names(*OTHER)) == ({"c", "a"}, {"t"})
    reader.add(5, to=FIRST)
    assert delays.get_many([FIRST, OTHER]) == [10, 0]


def test_a_batch_of_statements_for_one_entry_each_is_no_less_than_their_rows(process: Make) -> None:
    """What the run read for another entry counts for this one, too: which is whose nobody can tell."""
    reader = process()

    def many(calls: list[tuple[str, int]]) -> list[int]:
        with Session(reader.engine) as session:
            chosen = (
                select(func.sum(Flight.delay)).where(Flight.carrier == carrier, Flight.month == month)
                for carrier, month in calls
            )
            return [session.scalar(one) or 0 for one in chosen]

    delays = reader.declare(batch=many)
    reader.warm(FIRST, OTHER)
    delays.invalidate_all()
    assert delays.get_many([FIRST, OTHER]) == [0, 0]
    assert "t" in reader.names(*FIRST)

    reader.add(5, to=FIRST)
    reader.add(6, to=OTHER)
    assert delays.get_many([FIRST, OTHER]) == [5, 6]


def _sums(calls: list[tuple[str, int]]) -> Any:
    called = Flight.carrier + " " + func.cast(Flight.month, Flight.carrier.type)
    wanted = [f"{carrier} {month}" for carrier, month in calls]
    return select(called, func.sum(Flight.delay)).where(called.in_(wanted)).group_by(called)
