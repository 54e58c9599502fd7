"""Tokens of columns: equal values look alike, and what a database tells apart differs."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from sqlalchemy import JSON, Boolean, Column, DateTime, Float, Integer, MetaData, Numeric, String, Table, Uuid
from sqlalchemy import Enum as EnumColumn
from sqlalchemy.types import CHAR, TypeDecorator

from warmer import Warmer, nullable
from warmer.capture.tables import form_of
from warmer.core.changes import Changes, RowShape, hits_of
from warmer.core.columns import families_of, meet, token_as, token_of
from warmer.core.names import row_name, table_name, whole_name
from warmer.core.params import param_type
from warmer.errors import InvalidOption


class Part(enum.Enum):
    MORNING = 1


class Upper(TypeDecorator[str]):
    """Texts in capitals."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value.upper()


UUID_TEXT = "12345678-1234-5678-1234-567812345678"
EAST = timezone(timedelta(hours=2))
TABLE = Table(
    "t",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("text", String(9)),
    Column("padded", CHAR(4)),
    Column("folded", String(9, collation="NOCASE")),
    Column("price", Numeric(10, 2)),
    Column("share", Float),
    Column("at", DateTime(timezone=True)),
    Column("local", DateTime),
    Column("key", Uuid),
    Column("part", EnumColumn(Part)),
    Column("upper", Upper),
    Column("yes", Boolean),
    Column("json", JSON),
)


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("padded", "UA", "UA  "),
        ("price", Decimal("3.00"), 3),
        ("share", 3, 3.0),
        ("at", datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 14, tzinfo=EAST)),
        ("key", UUID(UUID_TEXT), UUID_TEXT.upper()),
        ("upper", "ua", "UA"),
    ],
)
def test_values_that_a_column_holds_alike_look_alike(column: str, one: object, other: object) -> None:
    """Padding, scale, zones and a type's own form make no difference where they make none in the database."""
    form = form_of(TABLE.c[column])

    assert form.token(one) == form.token(other) is not None


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", "3"), ("text", 3), ("at", datetime(2026, 1, 1)), ("price", 0.1)],
)
def test_values_of_another_type_are_compared_with_no_row(column: str, value: object) -> None:
    """A text is no number, and an instant no time of day: these have no token."""
    assert form_of(TABLE.c[column]).token(value) is None


def test_an_enum_is_compared_as_it_is_stored() -> None:
    """Its member and what the database holds of it meet."""
    assert form_of(TABLE.c.part).token(Part.MORNING) == "s~MORNING"


@pytest.mark.parametrize("value", [3, "3", 3.0, True, date(2026, 1, 1), datetime(2026, 1, 1), b"3", None])
def test_different_values_have_different_tokens(value: object) -> None:
    """A token says of which family its value is, so none is taken for another's."""
    others = [3, "3", 3.0, True, date(2026, 1, 1), datetime(2026, 1, 1), b"3", None]

    assert [token_of(other) for other in others].count(token_of(value)) == 1


def test_a_row_told_by_its_plain_values_meets_a_column_of_a_known_type() -> None:
    """A writer that does not know the column's type says what is needed to compare its values."""
    assert meet("s~UA%20%20", "p") == token_as("UA", "p")
    assert meet("n~3", "f") == token_as(3.0, "f")
    assert meet(f"s~{UUID_TEXT}", "u") == token_as(UUID_TEXT, "u")
    assert meet("s~3", "n") is None
    assert meet("~", "n") == "~"


def test_long_texts_stand_as_digests() -> None:
    """A name stays short however long a value is, and different long values stay different."""
    one, other = token_as("a" * 500, "s"), token_as("a" * 499 + "b", "s")

    assert one != other
    assert len(one or "") < 50


def test_names_of_rows_imitate_no_others() -> None:
    """Whatever is in the names of tables and columns, two shapes never have one name."""
    odd = ["a", "a:b", "a=1", "a,b", "a:b=s~1", "%", "t:a"]
    names = [row_name(table, {column: "s~1"}) for table in odd for column in odd]
    names += [row_name(table, {"a": "s~1", "b": "s~1"}) for table in odd]
    names += [row_name(table, {f"{column}=s~1,b": "s~1"}) for table in odd for column in odd]
    names += [name(table) for table in odd for name in (table_name, whole_name)]

    assert len(set(names)) == len(names)


def test_families_follow_from_annotations() -> None:
    """A param that can be of one family is compared as that, and one that has none is not."""
    found = {
        str(kind): families_of(param_type(kind, "here"))
        for kind in (int, str, int | None, Literal["a", "b"], Part, tuple[int, ...], datetime)
    }

    assert list(found.values()) == ["n", "s", "n", "s", "", "", "lt"]


def _declare(depends_on: Any, kind: Any = str, name: str = "carrier") -> Any:
    flights = Warmer("columns")

    def query(carrier: str) -> int:
        return 0

    query.__annotations__ = {name: kind, "return": int}
    return flights.cached(ttl=1, name="query", depends_on=depends_on)(query)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("id", str), ("text", int), ("folded", str), ("json", str), ("share", Decimal), ("part", str),
        ("yes", int),
    ],
)  # fmt: skip
def test_what_cant_be_compared_is_an_error_where_it_is_declared(column: str, kind: Any) -> None:
    """A column and a param whose equal values may look different are refused, with a way out."""
    with pytest.raises(InvalidOption, match=r"any row"):
        _declare({TABLE: {column: "carrier"}}, kind)


def test_an_unknown_column_is_an_error_where_it_is_declared() -> None:
    """What was probably meant is named."""
    with pytest.raises(InvalidOption, match="Did you mean 'padded'"):
        _declare({TABLE: {"paded": "carrier"}})


def _names(query: Any, value: object) -> tuple[str, ...]:
    reading = query._reading
    listed: tuple[str, ...] = reading.dependencies.names_of({"carrier": value}, "tail").listed
    return listed


def test_none_means_any_row_unless_it_is_said_to_mean_null() -> None:
    """An entry whose param is None depends on the whole table, or on the rows that hold NULL."""
    assert _names(_declare({TABLE: {"text": "carrier"}}, str | None), None) == ("t:t",)
    assert _names(_declare({TABLE: {"text": nullable("carrier")}}, str | None), None) == ("c:t:text=~",)
    assert _names(_declare({TABLE: {"text": "carrier"}}, str | None), "UA") == ("c:t:text=s~UA",)


def test_changes_come_back_as_they_were_written() -> None:
    """What an outbox row says is read as what it was."""
    changes = Changes(names={"g:tag"}, queries={"query"})
    changes.add_rows("t", [frozenset({("a", "s~1")}), frozenset({("a", "s~2")})])
    changes.add_rows("u", None)

    assert Changes.read(changes.text()) == changes
    with pytest.raises(ValueError, match="format 99"):
        Changes.read('{"v":99}')


def test_rows_that_lack_a_column_name_the_whole_table() -> None:
    """Where a shape needs what a row does not say, every entry over the table goes."""
    shapes = {"t": (RowShape("q", "t", (("a", "s"),)), RowShape("r", "t", (("b", "n"),)))}
    told, lacking = Changes(), Changes()
    told.add_rows("t", [frozenset({("a", "s~1"), ("b", "n~2")})])
    lacking.add_rows("t", [frozenset({("a", "s~1")})])

    assert hits_of(told, shapes).queries == ()
    assert set(hits_of(told, shapes).names) == {"t:t", "c:t:a=s~1", "c:t:b=n~2"}
    assert hits_of(lacking, shapes).queries == ("q", "r")
    assert set(hits_of(lacking, shapes).names) == {"t:t", "a:t"}
