"""The audit: what was declared against what is read and what is invalidated."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tests.commanding.projects import write_tasks
from tests.commanding.session import Session as Shell
from warmer import Warmer
from warmer.found.gaps import AuditReport, audit


class Base(DeclarativeBase):
    """Tables of these tests."""


class Flight(Base):
    """A departure."""

    __tablename__ = "flights"
    id: Mapped[int] = mapped_column(primary_key=True)
    carrier: Mapped[str]
    month: Mapped[int]


class Airline(Base):
    """Whose flight it is."""

    __tablename__ = "airlines"
    code: Mapped[str] = mapped_column(primary_key=True)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Empty tables."""
    engine = create_engine(f"sqlite:///{tmp_path / 'flights.db'}", poolclass=NullPool)
    Base.metadata.create_all(engine)
    return engine


def _audit(flights: Warmer) -> AuditReport:
    return audit(flights.runtime(), list(flights.readings.values()), 2, random.Random(7))


def _gaps(flights: Warmer) -> set[tuple[str, str]]:
    return {(gap.kind, gap.query) for gap in _audit(flights).gaps}


def test_what_is_declared_and_invalidated_as_it_is_read_has_no_gaps(flights: Warmer, engine: Engine) -> None:
    """The audit runs loads, says what they read, and stores nothing."""
    calls: list[str] = []

    @flights.cached(
        ttl=60, name="board", version="1", depends_on={Flight: ("carrier",)}, tags=("of:{carrier}",)
    )
    def board(carrier: str) -> int:
        calls.append(carrier)
        with Session(engine) as session:
            return len(session.scalars(select(Flight).where(Flight.carrier == carrier)).all())

    board("UA")
    flights.invalidate_tags("of:UA")
    board("UA")
    report = _audit(flights)

    assert report.gaps == ()
    assert report.queries[0].observed.tables == {"flights": [{"carrier": "carrier"}]}
    assert (report.queries[0].observed.loads, calls) == (1, ["UA"] * 3)


def test_what_is_read_beyond_what_was_declared_is_a_gap(flights: Warmer, engine: Engine) -> None:
    """Tables that are not declared, rows beyond the declared ones, and SQL text are told."""

    @flights.cached(ttl=60, name="board", version="1", depends_on={Flight: ("carrier", "month")})
    def board(carrier: str, month: int) -> int:
        with Session(engine) as session:
            session.execute(text("SELECT 1 FROM airlines"))
            session.scalars(select(Airline)).all()
            return len(session.scalars(select(Flight).where(Flight.carrier == carrier)).all())

    board("UA", 3)
    board.invalidate("UA", 3)
    board("UA", 3)

    assert _gaps(flights) == {("not_declared", "board"), ("declared_too_narrow", "board"), ("text", "board")}


def test_what_nobody_invalidates_is_a_gap(flights: Warmer) -> None:
    """So is a tag that nobody invalidates, one that nobody has, and a param that is always left out."""

    @flights.cached(ttl=60, name="old", version="1")
    def old() -> int:
        return 1

    @flights.cached(ttl=60, name="tagged", version="1", tags=("month:{month}",))
    def tagged(month: int, limit: int = 10) -> int:
        return month

    old()
    tagged(3)
    tagged(3, limit=20)
    tagged.invalidate(3)
    flights.invalidate_tags("mnth:3")

    assert _gaps(flights) == {
        ("never_invalidated", "old"),
        ("tag_never_invalidated", "tagged"),
        ("params_left_out", "tagged"),
        ("matches_nothing", ""),
    }

    tagged.invalidate_where(month=3)
    flights.invalidate_tags("month:3")
    old.invalidate()

    assert _gaps(flights) == {("matches_nothing", "")}


def test_the_command_exits_with_1_where_there_are_gaps(tmp_path: Path, redis_url: str) -> None:
    """`warmer audit` tells them in words, or as JSON."""
    source = """
from warmer import Warmer
shop = Warmer("shop")

@shop.cached(ttl=60, name="numbers.double", version="1")
def double(n: int) -> int:
    return 2 * n
"""
    folder = write_tasks(tmp_path / "shop", source)
    with Shell(folder, {"WARMER_REDIS_URL": redis_url}) as shell:
        before = shell("audit", "--json")
        told = shell("audit", "double")
        shell("invalidate", "double", "n=1")
        after = shell("audit")

    assert (before.code, told.code, after.code) == (1, 1, 0)
    assert [gap["kind"] for gap in before.json["gaps"]] == ["never_invalidated"]
    assert "never_invalidated: nothing has invalidated it" in told.out
    assert "no gaps" in after.out
