"""Flights on a database of their own, queries over them, and their entries: what tracking tests use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Engine, ForeignKey, Integer, String, Table, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from warmer import Query, Warmer
from warmer.outbox import schema


class Model(DeclarativeBase):
    pass


class Flight(Model):
    __tablename__ = "flights"

    id: Mapped[int] = mapped_column(primary_key=True)
    carrier: Mapped[str] = mapped_column(String(2))
    month: Mapped[int]
    delay: Mapped[int] = mapped_column(default=0)
    bags: Mapped[list[Bag]] = relationship(cascade="all, delete-orphan", passive_deletes=True)
    crew: Mapped[list[Person]] = relationship(secondary="crews")


class Bag(Model):
    __tablename__ = "bags"

    id: Mapped[int] = mapped_column(primary_key=True)
    flight_id: Mapped[int] = mapped_column(ForeignKey("flights.id", ondelete="CASCADE"))


class Person(Model):
    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True)


crews = Table(
    "crews",
    Model.metadata,
    Column("flight_id", Integer, ForeignKey("flights.id"), primary_key=True),
    Column("person_id", Integer, ForeignKey("people.id"), primary_key=True),
)

#: Runs each statement that it is given, in one transaction of a connection that Warmer does not know.
Foreign = Callable[..., None]
CALLS = (("UA", 1), ("UA", 2), ("AA", 1))


@dataclass
class Tracked:
    """Three flights (1, 2, 3: UA in January and February, AA in January), all of them cached."""

    flights: Warmer
    engine: Engine
    sessions: sessionmaker[Session]
    delays: Query[[str, int], int]
    bags: Query[[int], int]
    crew: Query[[int], int]

    def fill(self) -> None:
        for call in CALLS:
            self.delays(*call)
        for flight in (1, 2, 3):
            self.bags(flight)
            self.crew(flight)

    def gone(self) -> set[tuple[Any, ...]]:
        """The calls whose entries are not there any more; delays by their params, others by their query."""
        missing: set[tuple[Any, ...]] = {call for call in CALLS if self.delays.bind(*call).entry() is None}
        for query in (self.bags, self.crew):
            missing |= {(query.name, n) for n in (1, 2, 3) if query.bind(n).entry() is None}
        return missing

    def gone_after(self, write: Any) -> set[tuple[Any, ...]]:
        """What a write in a session of its own, committed, has taken."""
        self.fill()
        assert self.gone() == set()
        with self.sessions.begin() as session:
            write(session)
        return self.gone()


def prepare(url: str) -> Engine:
    """Tables, the outbox, and three flights."""
    engine = create_engine(url, connect_args={"timeout": 30} if url.startswith("sqlite") else {})
    Model.metadata.create_all(engine)
    with engine.begin() as connection:
        schema.create(connection)
    with Session(engine) as session, session.begin():
        session.add_all(
            [Flight(carrier=carrier, month=month) for carrier, month in CALLS] + [Person(), Person()]
        )
    return engine


def tracked(namespace: str, redis_url: str, engine: Engine, **settings: Any) -> Tracked:
    """The queries over it, with `sessions` tracked."""
    flights, sessions = Warmer(namespace, redis_url=redis_url, **settings), sessionmaker(engine)

    def count(statement: Any) -> int:
        with Session(engine) as session:
            return int(session.scalar(statement) or 0)

    @flights.cached(ttl=600, name="delays", version="1", depends_on={Flight: ("carrier", "month")})
    def delays(carrier: str, month: int) -> int:
        chosen = select(func.sum(Flight.delay)).where(Flight.carrier == carrier, Flight.month == month)
        return count(chosen)

    @flights.cached(ttl=600, name="bags", version="1", depends_on={Bag: ("flight_id",)})
    def bags(flight_id: int) -> int:
        return count(select(func.count()).select_from(Bag).where(Bag.flight_id == flight_id))

    @flights.cached(ttl=600, name="crew", version="1", depends_on={crews: ("flight_id",)})
    def crew(flight_id: int) -> int:
        return count(select(func.count()).select_from(crews).where(crews.c.flight_id == flight_id))

    flights.track(sessions)
    return Tracked(flights, engine, sessions, delays, bags, crew)
