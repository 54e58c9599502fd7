"""Return annotations whose values would not come back as that type are refused at decoration."""

from __future__ import annotations

import inspect
import sqlite3
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from dataclasses import InitVar, dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, List, Protocol, Tuple, TypeVar  # noqa: UP035 - the old names are tested

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.engine import Result, Row, RowMapping, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column
from typing_extensions import TypeAliasType

from warmer.core.values import Codec
from warmer.errors import ResultNotStorable, UnstorableResult

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

T = TypeVar("T")


class Base(DeclarativeBase):
    pass


class Flight(Base):
    __tablename__ = "flights"
    id: Mapped[int] = mapped_column(primary_key=True)


class Plane(MappedAsDataclass, Base):
    __tablename__ = "planes"
    id: Mapped[int] = mapped_column(primary_key=True)


@dataclass
class Delay:
    carrier: str
    minutes: int


@dataclass
class Other:
    carrier: str


@dataclass
class Unhashable:
    n: int


@dataclass
class HoldsEntity:
    delay: Delay
    plane: Plane


@dataclass
class NotImported:
    thing: Unknown


@dataclass
class Initial:
    n: int
    seed: InitVar[int]


class Mixed(Enum):
    A = 1
    B = "b"


class HasLen(Protocol):
    def __len__(self) -> int: ...


class Plain:
    n: int


Endless = TypeAliasType("Endless", "list[Endless]")

#: annotation, what the error says
REFUSED: list[tuple[Any, str]] = [
    (inspect.Signature.empty, "returns nothing that is annotated"),
    ("list[Delay]", "text that was not resolved"),
    (Any, "it says nothing about the value"),
    (object, "it says nothing about the value"),
    (Any | None, "it says nothing about the value"),
    (object | None, "it says nothing about the value"),
    (T, "it says nothing about the value"),
    (list, "does not say what is inside"),
    (dict, "does not say what is inside"),
    (tuple, "does not say what is inside"),
    (set, "does not say what is inside"),
    (frozenset, "does not say what is inside"),
    (List, "does not say what is inside"),  # noqa: UP006
    (Tuple, "does not say what is inside"),  # noqa: UP006
    (Row[Any], "[DelayRow(**row._mapping) for row in rows]"),
    (list[Row[tuple[int, str]]], "an item: Row belongs to its connection"),
    (RowMapping, "RowMapping belongs to its connection"),
    (Result[Any], "Result belongs to its connection"),
    (sqlite3.Row, "Row belongs to its connection"),
    (Flight, "Flight is an ORM entity, tied to its session; copy it into a dataclass"),
    (list[Plane], "Plane is an ORM entity"),
    (HoldsEntity, "HoldsEntity.plane: Plane is an ORM entity"),
    (Callable[[], int], "can be consumed or called"),
    (Iterator[int], "can be consumed or called"),
    (Iterable[int], "can be consumed or called"),
    (Generator[int, None, None], "can be consumed or called"),
    (AsyncIterator[int], "can be consumed or called"),
    (Awaitable[int], "can be consumed or called"),
    (Coroutine[Any, Any, int], "can be consumed or called"),
    (types.GeneratorType, "can be consumed or called"),
    (types.FunctionType, "function is not a type that can be stored"),
    (deque[int], "would come back as a plain list or dict"),
    (OrderedDict[str, int], "would come back as a plain list or dict"),
    (defaultdict[str, int], "would come back as a plain list or dict"),
    (Counter[str], "would come back as a plain list or dict"),
    (Delay | Other, "tagged Structs"),
    (Delay | dict[str, int], "tagged Structs"),
    (str | Decimal, "Kinds that look alike once stored"),
    (date | datetime, "Kinds that look alike once stored"),
    (list[int] | tuple[int, ...], "Kinds that look alike once stored"),
    (set[list[int]], "the items of a set must be hashable"),
    (set[Unhashable], "the items of a set must be hashable"),
    (frozenset[tuple[int, list[int]]], "the items of a set must be hashable"),
    (dict[list[int], int], "the keys of a dict must be hashable"),
    (dict[bytearray, int], "the keys of a dict must be hashable"),
    (list[dict[Unhashable, int]], "an item: the keys of a dict must be hashable"),
    (NotImported, "import it at run time too, not only under TYPE_CHECKING"),
    (Initial, "InitVar"),
    (Mixed, "all str or all int"),
    (Endless, "not supported"),
    (HasLen, "HasLen is not a type that can be stored"),
    (Plain, "Plain is not a type that can be stored; make it a dataclass"),
    (complex, "complex is not a type that can be stored"),
    (type, "type is not a type that can be stored"),
    (memoryview, "annotate bytes"),
    (msgspec.Raw, "annotate bytes"),
    (list[msgspec.msgpack.Ext], "an item: raw bytes"),
]


@pytest.mark.parametrize(
    ("annotation", "says"), REFUSED, ids=[f"{at}-{str(case[0])[:50]}" for at, case in enumerate(REFUSED)]
)
def test_an_annotation_that_can_not_be_kept_is_refused(annotation: Any, says: str) -> None:
    """The error names the query and the part that does not work, and what works instead."""
    with pytest.raises(UnstorableResult) as caught:
        Codec(annotation, "tasks.delays")
    assert says in str(caught.value)
    assert "tasks.delays returns " in str(caught.value)


def test_the_place_of_a_refusal_is_named_where_it_is_nested() -> None:
    """A fault three levels down is found without reading the whole type."""
    with pytest.raises(UnstorableResult, match=r"HoldsEntity\.plane: Plane"):
        Codec(dict[str, list[HoldsEntity | None]], "q")


def test_rows_of_sqlalchemy_are_refused_with_the_forms_that_work() -> None:
    """A Row is refused as a tuple, a mapping and a dataclass; what the error advises is stored."""
    with create_engine("sqlite://").connect() as connection:
        rows = connection.execute(text("SELECT 'UA' AS carrier, 5 AS minutes")).all()
    for annotation in (list[tuple[str, int]], list[Delay], list[dict[str, Any]]):
        with pytest.raises(
            ResultNotStorable, match=r"got Row \(it belongs to its connection: DelayRow\(\*\*row"
        ):
            Codec(annotation, "q").encode(rows)
    with pytest.raises(ResultNotStorable, match="got RowMapping"):
        Codec(list[dict[str, Any]], "q").encode([row._mapping for row in rows])
    advised: list[tuple[Any, Any]] = [
        (list[tuple[str, int]], [tuple(row) for row in rows]),
        (list[Delay], [Delay(**row._mapping) for row in rows]),
        (list[dict[str, Any]], [dict(row._mapping) for row in rows]),
    ]
    for annotation, made in advised:
        codec = Codec(annotation, "q")
        assert codec.decode(*codec.encode(made)) == made


def test_an_orm_entity_where_a_dataclass_is_annotated_is_refused() -> None:
    """An entity would drag its session along; the error says to copy its columns."""
    with pytest.raises(ResultNotStorable, match=r"should be Delay, got Flight \(an ORM entity"):
        Codec(list[Delay], "q").encode([Flight(id=1)])


def test_a_coroutine_that_was_not_awaited_is_refused() -> None:
    """Returning what should have been awaited is told as that."""

    async def forgotten() -> list[int]:
        return [1]

    coroutine = forgotten()
    try:
        with pytest.raises(ResultNotStorable, match=r"got coroutine \(await it\)"):
            Codec(list[int], "q").encode(coroutine)
    finally:
        coroutine.close()
