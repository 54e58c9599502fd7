"""Canonical params, type by type: what is accepted, as which value, under which token, what is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from warmer.core.params import Misfit, ParamType, param_type

T = TypeVar("T")
NEW_YORK = ZoneInfo("America/New_York")
KOLKATA = ZoneInfo("Asia/Kolkata")


class Text(str):
    __slots__ = ("note",)

    def __str__(self) -> str:
        return "something else"


class Airline(StrEnum):
    UNITED = "UA"
    DELTA = "DL"


class Month(IntEnum):
    MARCH = 3


class Side(Enum):
    ARRIVAL = "arr"
    DEPARTURE = "dep"
    ARR = "arr"  # noqa: PIE796 - an alias


class Right(Flag):
    READ = 1
    WRITE = 2
    BOTH = 3
    ADMIN = 4


class Mode(IntFlag):
    R = 1
    W = 2


class Nothing(Enum):
    pass


@dataclass(frozen=True)
class Spot:
    x: float
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    since: dt.datetime
    spots: tuple[Spot, ...] = ()


class Pair(NamedTuple):
    left: int
    right: str


def built(annotation: Any) -> ParamType:
    """The type of an annotation."""
    return param_type(annotation, "q(x)")


def token(annotation: Any, value: object) -> str:
    """The token of a value."""
    kind = built(annotation)
    return kind.encode(kind.check(value))


def at(text: str, zone: dt.tzinfo | None = None, fold: int = 0) -> dt.datetime:
    """A datetime of that text, in that zone."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (str, "UA", "UA"),
        (str, "", ""),
        (str, "a b,c;~%", "a%20b%2Cc%3B%7E%25"),
        (str, "é\0\ud800", "%C3%A9%00%ED%A0%80"),
        (bytes, b"a\xff,", "a%FF%2C"),
        (int, -12, "-12"),
        (int, 2**1023 - 1, str(2**1023 - 1)),
        (int, 2**1023, "x8" + "0" * 255),
        (int, -(2**1023), "-x8" + "0" * 255),
        (bool, True, "true"),
        (bool, False, "false"),
        (float, 1.5, "1.5"),
        (float, 1e16, "1e16"),
        (float, -1e-7, "-1e-07"),
        (float, float("-inf"), "-inf"),
        (float, 3, "3.0"),
        (float, -0.0, "0.0"),
        (None, None, "~"),
        (Decimal, Decimal("1.50"), "1.5"),
        (Decimal, Decimal("-0.001"), "-0.001"),
        (Decimal, Decimal("100"), "100"),
        (Decimal, Decimal("1E+30"), "1" + "0" * 30),
        (Decimal, Decimal("1E+31"), "1e31"),
        (Decimal, Decimal("12E-31"), "12e-31"),
        (Decimal, Decimal("1E-30"), "0." + "0" * 29 + "1"),
        (Decimal, Decimal("-Infinity"), "-inf"),
        (Decimal, Decimal("1E+999999999999999999"), "1e999999999999999999"),
        (dt.date, dt.date(26, 1, 2), "0026-01-02"),
        (dt.datetime, at("2026-11-22T10:15:30"), "2026-11-22T101530"),
        (dt.datetime, at("2026-11-22T10:15:30.000001", NEW_YORK), "2026-11-22T151530.000001Z"),
        (UUID, UUID(int=255), "00000000-0000-0000-0000-0000000000ff"),
        (Side, Side.ARR, "ARRIVAL"),
        (Right, Right.BOTH, "BOTH"),
        (Right, Right.READ | Right.ADMIN, "~5"),
        (Right, Right(0), "~0"),
        (Literal["a", "b"], "b", "b"),
        (Literal[Side.ARRIVAL], Side.ARRIVAL, "ARRIVAL"),
        (tuple[()], (), "()"),
        (tuple[str], ("",), "(;)"),
        (tuple[str, int], ("a;(", 3), "(a%3B%28;3;)"),
        (tuple[int, ...], (), "()"),
        (tuple[tuple[str, ...], ...], ((), ("",)), "(();(;);)"),
        (Spot, Spot(1), "(1.0;~;)"),
        (Window, Window(since=at("2026-11-22")), "(2026-11-22T000000;();)"),
        (int | None, None, "~"),
        (int | None, 3, "3"),
        (int | str, 3, "int~3"),
        (int | str, "3", "str~3"),
        (int | str | None, None, "~"),
        (int | bool, 1, "int~1"),
        (int | bool, True, "bool~true"),
        (Side | Spot | None, Side.ARRIVAL, "Side~ARRIVAL"),
        (Right | int, Right.READ | Right.ADMIN, "Right~~5"),
        (tuple[int, ...] | dt.date | dt.datetime, (1,), "tuple~(1;)"),
        (Literal[1, True, "1", None], True, "bool~true"),
    ],
)
def test_a_value_has_this_token(annotation: Any, value: object, expected: str) -> None:
    """Tokens are part of the format in Redis: a change of any of these strands every stored entry."""
    kind = built(annotation)
    canonical = kind.check(value)
    assert kind.encode(canonical) == expected
    assert repr(kind.decode(expected)) == repr(canonical)


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (str, ["UA", Airline.UNITED, Text("UA")]),
        (int, [3, Month.MARCH]),
        (float, [3, 3.0, Month.MARCH]),
        (float, [0, 0.0, -0.0]),
        (Decimal, [Decimal("1.0"), Decimal("1.00"), Decimal("1E0"), Decimal("10E-1")]),
        (Decimal, [Decimal("0"), Decimal("-0"), Decimal("0E+9"), Decimal("0.000")]),
        (Decimal, [Decimal("1200"), Decimal("12E+2"), Decimal("1200.0")]),
        (dt.datetime, [at("2026-11-22T12:00", dt.UTC), at("2026-11-22T07:00", NEW_YORK)]),
        (dt.datetime, [at("2026-11-22T12:00", dt.UTC), at("2026-11-22T17:30", KOLKATA)]),
        (dt.datetime, [at("2026-11-22T12:00"), at("2026-11-22T12:00", fold=1)]),
        (dt.datetime, [at("2026-11-22T12:00", dt.UTC), at("2026-11-22T12:00", dt.UTC, fold=1)]),
        (tuple[int, str], [(3, "UA"), (Month.MARCH, Airline.UNITED), Pair(3, "UA")]),
        (Spot, [Spot(0.0), Spot(-0.0), Spot(0)]),
        (int | float, [1, 1.0]),
        (int | Decimal | None, [1, Decimal("1.0")]),
        (Literal["UA"] | None, ["UA", Airline.UNITED]),
    ],
)
def test_equal_values_have_one_token_and_one_canonical_value(annotation: Any, values: list[object]) -> None:
    """What is written differently and means the same is one entry, and its load sees one value."""
    kind = built(annotation)
    assert len({repr(kind.check(value)) for value in values}) == 1
    assert len({kind.encode(kind.check(value)) for value in values}) == 1


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, Airline.UNITED),
        (str, Text("UA")),
        (int, Month.MARCH),
        (int, Mode.R | Mode.W),
        (float, 3),
        (bytes, type("Blob", (bytes,), {})(b"x")),
        (Decimal, type("Money", (Decimal,), {})("1.5")),
        (dt.date, type("Day", (dt.date,), {})(2026, 11, 22)),
        (dt.datetime, type("Moment", (dt.datetime,), {})(2026, 11, 22)),
        (UUID, type("Id", (UUID,), {})(int=7)),
        (tuple[int, str], Pair(3, "UA")),
    ],
)
def test_a_subclass_becomes_exactly_the_annotated_type(annotation: Any, value: object) -> None:
    """A load never sees more than the key says: extra attributes and overridden methods stay outside."""
    canonical = built(annotation).check(value)
    assert type(canonical) in (str, int, float, bytes, Decimal, dt.date, dt.datetime, UUID, tuple)
    assert canonical == value


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (str, 3, "str"),
        (str, b"UA", "str"),
        (str, None, "str"),
        (bytes, "UA", "bytes"),
        (bytes, bytearray(b"UA"), "bytes"),
        (int, "3", "int"),
        (int, 3.0, "int"),
        (int, True, "int"),
        (int, Decimal(3), "int"),
        (bool, 1, "bool"),
        (bool, "true", "bool"),
        (float, "1.5", "float"),
        (float, True, "float"),
        (float, Decimal("1.5"), "float"),
        (float, float("nan"), "a float that equals itself"),
        (float, 2**53 + 1, "an int that a float can hold exactly"),
        (float, 10**400, "an int that a float can hold"),
        (float | None, 2**53 + 1, "an int that a float can hold exactly"),
        (Decimal, 1, "Decimal"),
        (Decimal, 1.5, "Decimal"),
        (Decimal, Decimal("NaN"), "a Decimal that equals itself"),
        (Decimal, Decimal("sNaN"), "a Decimal that equals itself"),
        (int | Decimal, True, "Decimal"),
        (None, 0, "None"),
        (dt.date, dt.datetime(2026, 11, 22), "date"),
        (dt.date, "2026-11-22", "date"),
        (dt.datetime, dt.date(2026, 11, 22), "datetime"),
        (
            dt.datetime,
            dt.datetime.max.replace(tzinfo=NEW_YORK),
            "a datetime between the years 1 and 9999 in UTC",
        ),
        (UUID, "00000000-0000-0000-0000-0000000000ff", "UUID"),
        (Side, "arr", "a member of Side"),
        (Side, "ARRIVAL", "a member of Side"),
        (Airline, "UA", "a member of Airline"),
        (Literal["a", "b"], "c", "one of 'a', 'b'"),
        (Literal["a"], 3, "'a'"),
        (Literal[1, 2], True, "one of 1, 2"),
        (tuple[int, ...], [1], "a tuple of any number of: int"),
        (tuple[int, str], (1,), "a tuple of (int, str)"),
        (Spot, (1.0, None), "Spot"),
        (int | None, "3", "int or None"),
        (int | str, 3.5, "int or str"),
        (int | str | None, b"", "int or str or None"),
    ],
)
def test_a_value_of_another_type_is_a_misfit(annotation: Any, value: object, expected: str) -> None:
    """Nothing is converted silently, and the error says what was expected."""
    with pytest.raises(Misfit) as caught:
        built(annotation).check(value)
    assert caught.value.expected == expected
    assert caught.value.value is value or caught.value.value == value


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (tuple[int, ...], (1, "2"), "[1]"),
        (tuple[tuple[int, str], ...], ((1, "a"), (2, 3)), "[1][1]"),
        (Spot, Spot("x"), ".x"),  # type: ignore[arg-type]  # what a dataclass does not check
        (Window, Window(since=at("2026-11-22"), spots=(Spot(1), Spot(2, 3))), ".spots[1].label"),  # type: ignore[arg-type]
        (Spot | None, Spot("x"), ".x"),  # type: ignore[arg-type]
        (Spot | int, Spot("x"), ".x"),  # type: ignore[arg-type]
    ],
)
def test_a_misfit_inside_a_param_says_where(annotation: Any, value: object, path: str) -> None:
    """The error leads to the item or field, in a union too."""
    with pytest.raises(Misfit) as caught:
        built(annotation).check(value)
    assert caught.value.path == path
    assert path in str(caught.value)


def test_naive_and_aware_never_meet() -> None:
    """The same fields with and without a zone are different params, also in UTC."""
    assert token(dt.datetime, at("2026-11-22T12:00")) != token(dt.datetime, at("2026-11-22T12:00", dt.UTC))


def test_the_two_passes_through_a_repeated_hour_are_two_params() -> None:
    """Python calls them equal within one zone; they are an hour apart, and a query sees that."""
    first, second = at("2026-11-01T01:30", NEW_YORK), at("2026-11-01T01:30", NEW_YORK, fold=1)
    assert first == second
    assert token(dt.datetime, first) == "2026-11-01T053000Z"
    assert token(dt.datetime, second) == "2026-11-01T063000Z"
    assert token(dt.datetime, second) == token(dt.datetime, at("2026-11-01T06:30", dt.UTC))


def test_a_zone_without_offset_is_no_zone() -> None:
    """A tzinfo that gives no offset leaves a datetime naive, as in Python."""

    class Nowhere(dt.tzinfo):
        def utcoffset(self, when: dt.datetime | None) -> None:
            return None

        dst = tzname = utcoffset

    canonical = built(dt.datetime).check(at("2026-11-22T12:00", Nowhere()))
    assert repr(canonical) == repr(at("2026-11-22T12:00"))


def test_a_datetime_finer_than_microseconds_is_refused() -> None:
    """Two instants of a subclass with nanoseconds would share a key if the rest were cut off."""

    class Fine(dt.datetime):
        nanosecond = 1

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Fine) and super().__eq__(other)

        __hash__ = dt.datetime.__hash__

    with pytest.raises(Misfit, match="whole microseconds"):
        built(dt.datetime).check(Fine(2026, 11, 22))


def test_a_datetime_that_is_none_is_refused() -> None:
    """A subclass whose fields are not numbers (pandas' NaT is one) gives an error, not a key."""

    class Never(dt.datetime):
        @property
        def year(self) -> Any:
            return float("nan")

    with pytest.raises(Misfit, match="all of its fields"):
        built(dt.datetime).check(Never(2026, 11, 22))


def test_a_decimal_is_never_rounded() -> None:
    """The decimal context of whoever calls changes neither the value nor its key."""
    precise = Decimal("12345678901234567890.12345678901234567891")
    with localcontext(Context(prec=3, rounding=ROUND_DOWN, Emax=9, Emin=-9)):
        assert built(Decimal).check(precise) == precise
        assert token(Decimal, precise) == str(precise)
        assert built(Decimal).decode(str(precise)) == precise


def test_look_alikes_are_different_texts() -> None:
    """Nothing is normalised: composed and decomposed accents, Latin and Cyrillic, full width, ligatures."""
    alike = ["\u00e9", "e\u0301", "\u0430", "a", "\uff41", "\ufb01", "fi", "K", "\u212a"]
    assert len({token(str, text) for text in alike}) == len(alike)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (str, "a b"),
        (str, "%2c"),
        (str, "%41"),
        (str, "%FF"),
        (str, "~"),
        (bytes, "%4"),
        (int, "03"),
        (int, "+3"),
        (int, " 3"),
        (int, "1_0"),
        (int, "٣"),
        (int, "x3"),
        (int, "3.0"),
        (int, "-0"),
        (int, "9" * 5000),
        (bool, "1"),
        (bool, "True"),
        (float, "1"),
        (float, "1e+16"),
        (float, "nan"),
        (float, "-0.0"),
        (Decimal, "1.0"),
        (Decimal, "1E3"),
        (Decimal, "NaN"),
        (Decimal, "-0"),
        (Decimal, "x"),
        (dt.date, "20261122"),
        (dt.date, "2026-W47-7"),
        (dt.date, "2026-02-30"),
        (dt.datetime, "2026-11-22"),
        (dt.datetime, "2026-11-22T10:15:30"),
        (dt.datetime, "2026-11-22T101530.000000"),
        (dt.datetime, "2026-11-22T250000"),
        (UUID, "000000000000000000000000000000ff"),
        (Side, "ARR"),
        (Side, "arr"),
        (Side, "~1"),
        (Right, "~3"),
        (Right, "~8"),
        (Right, "~x"),
        (Literal["a"], "b"),
        (None, ""),
        (tuple[int, ...], "(1)"),
        (tuple[int, ...], "(1;"),
        (tuple[int, ...], "1;"),
        (tuple[int, ...], "(1;)2;)"),
        (tuple[int, ...], "((1;)"),
        (tuple[int, str], "(1;)"),
        (Spot, "(1.0;)"),
        (Spot, "(1;~;)"),
        (int | None, ""),
        (int | str, "3"),
        (int | str, "~"),
        (int | str, "float~3"),
        (int | str, "int~a"),
    ],
)
def test_a_text_that_no_value_has_is_refused(annotation: Any, text: str) -> None:
    """What is not exactly some value's token is a misfit: a foreign or old key never loads another entry."""
    with pytest.raises(Misfit, match="a token of"):
        built(annotation).decode(text)


def test_enum_members_are_told_by_name_not_by_value() -> None:
    """Renumbering an Enum with auto() does not move its entries; an alias is its member."""
    assert built(Side).decode("DEPARTURE") is Side.DEPARTURE
    assert token(Airline, Airline.UNITED) == "UNITED"
    assert token(Right, Right.READ | Right.WRITE) == "BOTH"
    assert built(Right).decode("~5") == Right.READ | Right.ADMIN


def test_an_enum_may_call_things_as_it_likes() -> None:
    """Names that no class body allows, and a class with its own idea of `name`, keep their members apart."""
    Odd = Enum("Odd", {"a b": 1, "~1": 2, "é": 3})  # noqa: N806 - a class
    assert {token(Odd, member) for member in Odd} == {"a%20b", "%7E1", "%C3%A9"}

    class Named(Enum):
        ONE = 1
        TWO = 2

        @property
        def name(self) -> str:
            return "same"

    assert token(Named, Named.ONE) != token(Named, Named.TWO)


def test_canonical_records_are_passed_on_as_they_are() -> None:
    """An instance whose fields are canonical is not copied."""
    spot = Spot(1.5, "a")
    assert built(Spot).check(spot) is spot


def test_records_are_told_by_class() -> None:
    """A subclass is another class, as dataclass equality has it, even with the same fields."""

    @dataclass(frozen=True)
    class Marked(Spot):
        pass

    with pytest.raises(Misfit, match="expected Spot"):
        built(Spot).check(Marked(1.5))


def test_a_record_that_rewrites_its_fields_is_refused_unless_it_settles() -> None:
    """A worker makes the record again from the key: __post_init__ must leave it what it was."""

    @dataclass(frozen=True)
    class Upper:
        text: str

        def __post_init__(self) -> None:
            object.__setattr__(self, "text", self.text.upper())

    @dataclass(frozen=True)
    class Longer:
        text: str

        def __post_init__(self) -> None:
            object.__setattr__(self, "text", self.text + "!")

    assert built(Upper).decode(token(Upper, Upper("ua"))) == Upper("UA")
    with pytest.raises(Misfit, match="leaves as it is"):
        built(Longer).check(Longer("a"))
    with pytest.raises(Misfit, match="a token of"):
        built(Longer).decode("(a;)")


def test_a_record_that_refuses_its_fields_is_a_misfit() -> None:
    """Whatever __post_init__ raises, what a caller sees names the class."""

    @dataclass(frozen=True)
    class Positive:
        value: int

        def __post_init__(self) -> None:
            if self.value <= 0:
                raise RuntimeError("not positive")

    with pytest.raises(Misfit, match="a token of Positive") as caught:
        built(Positive).decode("(-1;)")
    assert isinstance(caught.value.__cause__, Misfit)
    with pytest.raises(Misfit, match="fields that Positive accepts"):
        built(Positive).from_text("-1")


def test_a_misfit_never_shows_a_secret_or_a_huge_value() -> None:
    """Values are masked and cut before they get into a message, and a broken repr does not hide the error."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    for value in ("x" * 10**6, 10**5000, Broken(), "postgresql://me:hunter2@db/x"):
        with pytest.raises(Misfit) as caught:
            built(bool).check(value)
        assert len(str(caught.value)) < 200
        assert "hunter2" not in str(caught.value)
