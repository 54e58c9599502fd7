"""What a statement reads: its tables, and by which columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    BindParameter,
    ForeignKey,
    Integer,
    String,
    and_,
    bindparam,
    cast,
    column,
    exists,
    func,
    insert,
    lateral,
    literal,
    literal_column,
    not_,
    or_,
    select,
    table,
    text,
    true,
    union_all,
    values,
)  # fmt: skip
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    aliased,
    joinedload,
    mapped_column,
    relationship,
)  # fmt: skip

from warmer.found.statements import read_statement


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
    follows: Mapped[int | None] = mapped_column(ForeignKey("flights.id"))
    airline: Mapped[Airline] = relationship()


class Cargo(Flight):
    """A flight in two tables."""

    __tablename__ = "cargo"
    id: Mapped[int] = mapped_column(ForeignKey("flights.id"), primary_key=True)
    tons: Mapped[int]


F, A = Flight.__table__, Airline.__table__
earlier = aliased(Flight)
by_carrier = select(F.c.id).where(F.c.carrier == "UA")
chain = select(F.c.id, F.c.follows).where(F.c.id == 7).cte("chain", recursive=True)
chain = chain.union_all(select(F.c.id, F.c.follows).join(chain, F.c.id == chain.c.follows))
UA = ("flights", "carrier")

STATEMENTS: dict[str, tuple[Callable[[], Any], set[tuple[str, ...]]]] = {
    "an ORM select": (lambda: select(Flight).where(Flight.carrier == "UA"), {UA}),
    "two columns": (
        lambda: select(F.c.id).where(F.c.carrier == "UA", F.c.month == 3),
        {("flights", "carrier", "month")},
    ),
    "filter_by": (lambda: select(Flight.id).filter_by(carrier="UA"), {UA}),
    "the parameter first": (lambda: select(F.c.id).where(literal("UA") == F.c.carrier), {UA}),
    "a named parameter": (lambda: select(F.c.id).where(F.c.carrier == bindparam("who")), {UA}),
    "no condition": (lambda: select(Flight), {("flights",)}),
    "or": (lambda: select(F.c.id).where(or_(F.c.carrier == "UA", F.c.month == 3)), {("flights",)}),
    "or beside and": (
        lambda: select(F.c.id).where(F.c.carrier == "UA", or_(F.c.month == 3, F.c.month == 4)),
        {UA},
    ),
    "and within or": (
        lambda: select(F.c.id).where(or_(and_(F.c.carrier == "UA", F.c.month == 3), F.c.month == 4)),
        {("flights",)},
    ),
    "nested and": (
        lambda: select(F.c.id).where(
            and_(and_(F.c.carrier == "UA"), and_(true(), F.c.month == 3)).self_group()
        ),
        {("flights", "carrier", "month")},
    ),
    "not": (lambda: select(F.c.id).where(not_(and_(F.c.carrier == "UA", F.c.month == 3))), {("flights",)}),
    "in": (lambda: select(F.c.id).where(F.c.carrier.in_(["UA"])), {("flights",)}),
    "in, a parameter": (
        lambda: select(F.c.id).where(F.c.carrier.in_(bindparam("some", expanding=True))),
        {("flights",)},
    ),
    "a range": (lambda: select(F.c.id).where(F.c.month >= 3), {("flights",)}),
    "unequal": (lambda: select(F.c.id).where(F.c.carrier != "UA"), {("flights",)}),
    "a function of the column": (
        lambda: select(F.c.id).where(func.lower(F.c.carrier) == "ua"),
        {("flights",)},
    ),
    "a function of the parameter": (
        lambda: select(F.c.id).where(F.c.carrier == func.upper("ua")),
        {("flights",)},
    ),
    "a cast": (lambda: select(F.c.id).where(cast(F.c.month, String) == "3"), {("flights",)}),
    "is null": (lambda: select(F.c.id).where(F.c.follows.is_(None)), {("flights",)}),
    "having": (
        lambda: select(F.c.carrier).group_by(F.c.carrier).having(F.c.carrier == "UA"),
        {("flights",)},
    ),
    "an inner join": (
        lambda: select(F.c.id).join(A, A.c.code == F.c.carrier).where(F.c.month == 3),
        {("flights", "month"), ("airlines",)},
    ),
    "equal columns": (
        lambda: select(F.c.id).join(A, A.c.code == F.c.carrier).where(F.c.carrier == "UA"),
        {UA, ("airlines", "code")},
    ),
    "an ORM join": (
        lambda: select(Flight, Airline).join(Flight.airline).where(Airline.code == "UA"),
        {UA, ("airlines", "code")},
    ),
    "an inner join's ON": (
        lambda: select(F.c.id).join(A, and_(A.c.code == F.c.carrier, F.c.month == 3)),
        {("flights", "month"), ("airlines",)},
    ),
    "a left join's ON of its left side": (
        lambda: select(F.c.id).outerjoin(A, and_(A.c.code == F.c.carrier, F.c.carrier == "UA")),
        {("flights",), ("airlines",)},
    ),
    "a left join's ON of its right side": (
        lambda: select(F.c.id).outerjoin(A, A.c.code == "UA"),
        {("flights",), ("airlines", "code")},
    ),
    "a left join and WHERE": (
        lambda: select(F.c.id).outerjoin(A, A.c.code == F.c.carrier).where(F.c.carrier == "UA"),
        {UA, ("airlines", "code")},
    ),
    "a full join's ON": (
        lambda: select(F.c.id).join(A, and_(A.c.code == F.c.carrier, A.c.code == "UA"), full=True),
        {("flights",), ("airlines",)},
    ),
    "two in FROM": (
        lambda: select(F.c.id, A.c.name).where(A.c.code == F.c.carrier, A.c.code == "UA"),
        {UA, ("airlines", "code")},
    ),
    "a self join": (
        lambda: select(Flight.id).join(earlier, earlier.id == Flight.follows).where(Flight.carrier == "UA"),
        {UA, ("flights",)},
    ),
    "an alias": (lambda: select(earlier.id).where(earlier.carrier == "UA"), {UA}),
    "the wrong alias": (
        lambda: select(earlier.id).where(Flight.carrier == "UA"),
        {UA, ("flights",)},
    ),
    "a subquery": (lambda: select(by_carrier.subquery()), {UA}),
    "a condition outside of a subquery": (
        lambda: select(sub := select(F).subquery()).where(sub.c.carrier == "UA"),
        {("flights",)},
    ),
    "a CTE": (lambda: select(by_carrier.cte("ours")), {UA}),
    "a recursive CTE": (lambda: select(chain), {("flights", "id"), ("flights",)}),
    "a scalar subquery": (
        lambda: select(select(func.count(F.c.id)).where(F.c.carrier == "UA").scalar_subquery()),
        {UA},
    ),
    "in a subquery": (
        lambda: select(A.c.name).where(A.c.code.in_(select(F.c.carrier).where(F.c.month == 3))),
        {("airlines",), ("flights", "month")},
    ),
    "exists": (
        lambda: select(Airline.name).where(
            exists().where(Flight.carrier == Airline.code, Flight.month == 3), Airline.code == "UA"
        ),
        {("airlines", "code"), ("flights", "month")},
    ),
    "a condition of the outer row within exists": (
        lambda: select(Flight.id).where(
            exists(select(Airline.code).where(Airline.code == Flight.carrier, Flight.carrier == "UA"))
        ),
        {("flights",), ("airlines",)},
    ),
    "exists that correlates by name": (
        lambda: select(F.c.id).where(
            F.c.carrier == "UA", exists(select(A.c.code).where(A.c.code == F.c.carrier).correlate(F))
        ),
        {UA, ("airlines",)},
    ),
    "exists that does not correlate": (
        lambda: select(F.c.id).where(
            F.c.carrier == "UA", exists(select(A.c.code).where(A.c.code == F.c.carrier).correlate(None))
        ),
        {UA, ("flights",), ("airlines",)},
    ),
    "a subquery in ON": (
        lambda: select(F.c.id).join(A, A.c.code == select(func.max(earlier.carrier)).scalar_subquery()),
        {("flights",), ("airlines",)},
    ),
    "a union": (
        lambda: union_all(by_carrier, select(F.c.id).where(F.c.month == 3)),
        {UA, ("flights", "month")},
    ),
    "any": (
        lambda: select(Flight.id).where(Flight.carrier == "UA", Flight.airline.has(Airline.name == "United")),
        {UA, ("airlines", "name")},
    ),
    "joined eager loading": (
        lambda: select(Flight).options(joinedload(Flight.airline)).where(Flight.carrier == "UA"),
        {UA, ("airlines", "code")},
    ),
    "joined eager loading with a limit": (
        lambda: select(Flight).options(joinedload(Flight.airline)).where(Flight.carrier == "UA").limit(3),
        {UA, ("airlines", "code")},
    ),
    "a class in two tables": (
        lambda: select(Cargo).where(Cargo.id == 7),
        {("cargo", "id"), ("flights", "id")},
    ),
    "a table that has only a name": (
        lambda: select(table("gates", column("id"), schema="jfk")).where(column("id") == 7),
        {("jfk.gates",)},
    ),
    "no table at all": (lambda: select(func.now()), set()),
    "values": (lambda: select(values(column("n", Integer), name="v").data([(1,)])), set()),
    "lateral": (
        lambda: select(A.c.name, lateral(select(F.c.id).where(F.c.carrier == A.c.code)).c.id).where(
            A.c.code == "UA"
        ),
        {("airlines", "code"), ("airlines",), ("flights",)},
    ),
    "what is inserted from": (
        lambda: insert(Airline).from_select(["code"], select(F.c.carrier).where(F.c.month == 3)),
        {("airlines",), ("flights", "month")},
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_a_statement_reads(name: str) -> None:
    """Rows are told by a column only where an equality holds for all that are read; else it is any row."""
    make, expected = STATEMENTS[name]

    found = read_statement(make())

    assert {(read.table.fullname, *(column for column, _ in read.equal)) for read in found.reads} == expected
    assert not found.unknown


@pytest.mark.parametrize(
    ("statement", "unknown"),
    [
        (text("SELECT 1 FROM flights"), True),
        (text("SELECT id FROM flights").columns(F.c.id), True),
        (select(Flight).from_statement(text("SELECT * FROM flights")), True),
        (select(F.c.id).where(text("id IN (SELECT code FROM airlines)")), True),
        (select(literal_column("(SELECT 1 FROM airlines)")), True),
        (select(text("*")).select_from(text("(SELECT 1) AS x")), True),
        (select(F.c.id).where(text("month = 3")), False),
        (text("PRAGMA query_only = ON"), False),
    ],
    ids=str,
)
def test_text_may_read_anything(statement: Any, unknown: bool) -> None:
    """Text that may hold a table's name is told as unknown."""
    assert read_statement(statement).unknown is unknown


def test_a_column_is_bound_to_its_parameter() -> None:
    """Each column comes with the key of the parameter that it equals."""
    who = bindparam("who", type_=String())

    found = read_statement(select(F.c.id).where(F.c.month == bindparam("when"), F.c.carrier == who))

    assert isinstance(who, BindParameter)
    assert found.reads[0].equal == (("carrier", "who"), ("month", "when"))
