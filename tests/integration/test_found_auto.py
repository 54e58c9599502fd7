"""Dependencies found as loads run, on SQLite and PostgreSQL, sync and async."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, ForeignKey, NullPool, create_engine, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from warmer import Warmer
from warmer.core.names import table_name
from warmer.invalidation import invalidate_names


class Base(DeclarativeBase):
    """Tables of these tests."""


class Airline(Base):
    """Whose flight it is."""

    __tablename__ = "airlines"
    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class Flight(Base):
    """A departure."""

    __tablename__ = "flights"
    id: Mapped[int] = mapped_column(primary_key=True)
    carrier: Mapped[str] = mapped_column(ForeignKey("airlines.code"))
    month: Mapped[int]
    airline: Mapped[Airline] = relationship()


def _filled(url: str) -> Engine:
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all([Airline(code="UA", name="United"), Airline(code="DL", name="Delta")])
        session.flush()
        session.add_all([Flight(id=1, carrier="UA", month=3), Flight(id=2, carrier="DL", month=3)])
    return engine


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Two airlines and two flights, on each database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'flights.db'}"
    else:
        url = request.getfixturevalue("pg_url")
    engine = _filled(url)
    yield engine
    engine.dispose()


def _names(flights: Warmer, *args: str | int) -> set[str]:
    """The names of the one entry, but for its own and its query's."""
    entry = flights.query("board").read(*args)
    return {name for name in entry.names if not name.startswith(("e:", "q:", "a:"))}


def test_rows_that_a_load_read_are_its_dependencies(flights: Warmer, engine: Engine) -> None:
    """A load by two params stands under the rows that a declaration names, once writers know of it."""

    @flights.cached(
        ttl=60, name="board", version="1", depends_on="auto", resources={"session": lambda: Session(engine)}
    )
    def board(session: Session, carrier: str, month: int) -> int:
        found = select(Flight.id).where(Flight.carrier == carrier, Flight.month == month)
        return len(session.scalars(found).all())

    assert _names(flights, "UA", 3) == {table_name("flights")}
    board.refresh("UA", 3)

    @flights.cached(ttl=60, name="declared", version="1", depends_on={Flight: ("carrier", "month")})
    def declared(carrier: str, month: int) -> int:
        return month

    rows = {name for name in _names(flights, "UA", 3) if name.startswith("c:")}
    assert rows == {name for name in declared.read("UA", 3).names if name.startswith("c:")}
    assert len(rows) == 1


def test_an_invalidation_of_what_was_found_drops_the_entry(flights: Warmer, engine: Engine) -> None:
    """Tables that are only joined or loaded lazily count, too."""

    @flights.cached(
        ttl=60, name="board", version="1", depends_on="auto", resources={"session": lambda: Session(engine)}
    )
    def board(session: Session, carrier: str) -> list[str]:
        return [flight.airline.name for flight in session.scalars(select(Flight).filter_by(carrier=carrier))]

    assert board("UA") == ["United"]
    with Session(engine) as session, session.begin():
        session.get_one(Airline, "UA").name = "Continental"

    assert board("UA") == ["United"]
    assert invalidate_names(flights.runtime(), [table_name("airlines")], {}) == 1
    assert board("UA") == ["Continental"]
    assert invalidate_names(flights.runtime(), [table_name("gates")], {}) == 0


def test_what_was_found_is_checked_against_the_fence(flights: Warmer, engine: Engine) -> None:
    """A load that is overtaken by an invalidation of a table that it has yet to read is not stored."""
    overtaken = [True]

    @flights.cached(
        ttl=60, name="board", version="1", depends_on="auto", resources={"session": lambda: Session(engine)}
    )
    def board(session: Session, carrier: str) -> int:
        number = session.scalar(select(func.count(Flight.id)).where(Flight.carrier == carrier))
        if overtaken.pop() if overtaken else False:
            invalidate_names(flights.runtime(), [table_name("flights")], {})
        return number or 0

    assert board("UA") == 1
    assert flights.runtime().counts.snapshot().get("commits_stored", 0) == 0
    assert board("UA") == 1
    assert flights.runtime().counts.snapshot()["commits_stored"] == 1


def test_an_outer_load_depends_on_what_an_automatic_one_inside_it_read(
    flights: Warmer, engine: Engine
) -> None:
    """A value that is made of another one's stands under what that one has read."""

    @flights.cached(
        ttl=60, name="inner", version="1", depends_on="auto", resources={"session": lambda: Session(engine)}
    )
    def inner(session: Session) -> int:
        return session.scalar(select(func.count(Flight.id))) or 0

    @flights.cached(ttl=60, name="board", version="1")
    def board() -> int:
        return inner() + 1

    assert board() == 3
    assert _names(flights) == {table_name("flights")}


def test_text_is_told_and_not_taken_for_nothing(
    flights: Warmer, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A load that runs SQL text is warned of, once; the tables of its other statements are known."""

    @flights.cached(
        ttl=60, name="board", version="1", depends_on="auto", resources={"session": lambda: Session(engine)}
    )
    def board(session: Session) -> int:
        number = session.scalar(text("SELECT count(*) FROM airlines")) or 0
        return int(number) + (session.scalar(select(func.count(Flight.id))) or 0)

    with caplog.at_level(logging.WARNING, "warmer"):
        board()
        board.refresh()

    assert _names(flights) == {table_name("flights")}
    assert caplog.text.count("SELECT count(*) FROM airlines") == 1


def test_statements_outside_of_loads_are_nobodys(flights: Warmer, engine: Engine) -> None:
    """What an uncached call reads changes nothing, and a query that declares its tables gathers none."""

    @flights.cached(
        ttl=60,
        name="board",
        version="1",
        depends_on={Airline: ()},
        resources={"session": lambda: Session(engine)},
    )
    def board(session: Session) -> int:
        return session.scalar(select(func.count(Flight.id))) or 0

    assert board.fn() == 2
    assert board() == 2
    assert _names(flights) == {table_name("airlines")}


def test_async_loads_are_heard(flights: Warmer, tmp_path: Path) -> None:
    """What a load runs through an async session is found as well."""
    file = tmp_path / "flights.db"
    _filled(f"sqlite:///{file}").dispose()
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}", poolclass=NullPool)

    @flights.cached(
        ttl=60,
        name="board",
        version="1",
        depends_on="auto",
        resources={"session": lambda: AsyncSession(engine)},
    )
    async def board(session: AsyncSession, carrier: str) -> int:
        return len((await session.scalars(select(Flight).where(Flight.carrier == carrier))).all())

    assert flights.query("board").bind("UA").get() == 1
    assert _names(flights, "UA") == {table_name("flights")}
