"""Strategies for params and their values, and an idea of equality that owes nothing to the code under test.

`Kind` is an annotation, a strategy for values that a caller may pass, and one for other spellings of a
value: objects that differ but mean the same param (a Decimal with more zeros, an instant in another zone).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

# Structure of keys and tokens, escapes of it, look-alikes of it, and what text is usually broken by.
EVIL = [
    *",;()~%{}*?[]@:#=&/\\ \t\n\r\0\x7f\"'`$<>|!^-_.",
    *("%2C", "%25", "~3", "()", "(;)", "int~3", "str~", "true", "-0", "e:", "w:{x:0}:e:", "{}"),
    *("é", "é", "а", "a", "Ａ", "ﬁ", "fi", "ß", "ſ", "K", "\u202e", "\u200b", "\ufeff", "‚", "٣", "３"),
    *("\ud800", "\udc00", "\udfff", "\U0001f600", "\U0010ffff"),
]

ZONES = [
    dt.UTC,
    ZoneInfo("America/New_York"),
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("Australia/Lord_Howe"),
    dt.timezone(dt.timedelta(hours=-23, minutes=-59)),
    dt.timezone(dt.timedelta(seconds=1)),
    dt.timezone(dt.timedelta(microseconds=-7)),
]


class Text(str):
    __slots__ = ()


class Number(IntEnum):
    ZERO = 0
    THREE = 3
    MINUS = -1


class Word(StrEnum):
    EMPTY = ""
    COMMA = "a,b"
    TILDE = "~"


class Colour(Enum):
    RED = "red"
    BLUE = 2
    ROUGE = "red"  # noqa: PIE796 - an alias


Odd = Enum("Odd", {"a b": 1, "~3": 2, "é": 3, "a,b": 4})  # names that no class body allows


class Access(Flag):
    READ = 1
    WRITE = 2
    ADMIN = 4


@dataclass(frozen=True)
class Spot:
    x: float
    label: str | None


@dataclass(frozen=True, slots=True)
class Path:
    spots: tuple[Spot, ...]
    since: dt.datetime


@dataclass(frozen=True)
class Kind:
    annotation: Any
    values: st.SearchStrategy[Any]
    respelled: Callable[[Any], st.SearchStrategy[Any]]
    family: object


def identity(value: Any) -> object:
    """What a param means: equal for two values exactly if they are the same param."""
    match value:
        case None:
            return None
        case Enum() if not isinstance(value, str | int):
            return (type(value), value.value)
        case bool():
            return ("bool", bool(value))
        case int() | float() | Decimal():
            return ("number", value)
        case str():
            return ("text", str.__str__(value))
        case bytes():
            return ("bytes", bytes(value))
        case dt.datetime() if value.tzinfo is not None:
            return ("instant", value.astimezone(dt.UTC).replace(tzinfo=None, fold=0))
        case dt.datetime():
            return ("local", value.replace(fold=0))
        case dt.date():
            return ("date", value)
        case UUID():
            return ("UUID", value.int)
        case tuple():
            return ("tuple", *map(identity, value))
        case _ if is_dataclass(value):
            return (type(value), *(identity(getattr(value, field.name)) for field in fields(value)))
    raise AssertionError(f"no identity for {value!r}")


def texts() -> st.SearchStrategy[str]:
    """Any text, and those that are usually mistaken for something else."""
    evil = st.lists(st.sampled_from(EVIL), max_size=4).map("".join)
    anything = st.text(st.characters(exclude_categories=()), max_size=12)
    # All of these are alphanumeric to Python; only the first three are plain in a key.
    letters = st.text("aZ0\u00e9\u0430\u0663\u00b2\u00df\ufb01\u6f22", min_size=1, max_size=3)
    return st.one_of(evil, anything, letters, st.text(max_size=40))


def instants() -> st.SearchStrategy[dt.datetime]:
    """Naive and aware datetimes, those included that a clock shows twice or never."""
    # Two days from either end of time, so that every zone's offset stays inside it.
    first, last = dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29)
    turns = st.sampled_from([dt.datetime(2026, 11, 1, 1, 30), dt.datetime(2026, 3, 8, 2, 30)])
    naive = st.one_of(st.datetimes(first, last), turns)
    return st.builds(
        lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold),
        naive,
        st.sampled_from([None, *ZONES]),
        st.integers(0, 1),
    )


def decimals() -> st.SearchStrategy[Decimal]:
    """Decimals of any exponent, and infinite ones."""
    digits = st.lists(st.integers(0, 9), min_size=1, max_size=40).map(tuple)
    exponents = st.one_of(st.integers(-40, 40), st.sampled_from([-(10**6), 10**6, 999_999_999_999_999_900]))
    finite = st.builds(lambda s, d, e: Decimal((s, d, e)), st.integers(0, 1), digits, exponents)
    return st.one_of(
        finite, st.sampled_from([Decimal("inf"), Decimal("-inf"), Decimal("-0E+3"), Decimal("0.00")])
    )


def itself(value: Any) -> st.SearchStrategy[Any]:
    """No other spelling."""
    return st.just(value)


def _respelled_text(value: str) -> st.SearchStrategy[Any]:
    members = [member for member in Word if member.value == value]
    return st.sampled_from([value, Text(value), *members])


def _respelled_int(value: int) -> st.SearchStrategy[Any]:
    return st.sampled_from([value, *[member for member in Number if member.value == value]])


def _respelled_float(value: float) -> st.SearchStrategy[Any]:
    whole = [int(value)] if abs(value) < 1e300 and value == int(value) else []
    return st.sampled_from([value, *whole, *([-0.0, 0] if value == 0 else [])])


def _respelled_decimal(value: Decimal) -> st.SearchStrategy[Decimal]:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return st.just(value)
    if not any(digits):
        return st.sampled_from([value, -value, Decimal("0E-9"), Decimal("-0")])
    zeros = st.integers(0, 50)
    return zeros.map(lambda more: Decimal((sign, (*digits, *(0,) * more), exponent - more)))


def _respelled_instant(value: dt.datetime) -> st.SearchStrategy[dt.datetime]:
    if value.tzinfo is None:
        return st.sampled_from([value.replace(fold=0), value.replace(fold=1)])
    return st.sampled_from([value.astimezone(zone) for zone in ZONES])


def _respelled_spot(value: Spot) -> st.SearchStrategy[Spot]:
    labels = st.none() if value.label is None else _respelled_text(value.label)
    return st.builds(Spot, _respelled_float(value.x), labels)


floats = st.floats(allow_nan=False)
ints = st.one_of(
    st.integers(),
    st.integers(-5, 5),
    st.builds(
        lambda bits, step, sign: sign * (2**bits + step),
        st.integers(60, 5000),
        st.integers(-1, 1),
        st.sampled_from([1, -1]),
    ),
)
spots = st.builds(Spot, floats, st.none() | texts())
paths = st.builds(Path, st.lists(spots, max_size=3).map(tuple), instants())

PLAIN = [
    Kind(str, texts(), _respelled_text, "text"),
    Kind(bytes, st.binary(max_size=20), itself, "bytes"),
    Kind(int, ints, _respelled_int, "number"),
    Kind(bool, st.booleans(), itself, "bool"),
    Kind(float, floats, _respelled_float, "number"),
    Kind(Decimal, decimals(), _respelled_decimal, "number"),
    Kind(dt.date, st.dates(), itself, "date"),
    Kind(dt.datetime, instants(), _respelled_instant, "datetime"),
    Kind(UUID, st.uuids(), itself, "UUID"),
    Kind(Colour, st.sampled_from(Colour), itself, Colour),
    Kind(Odd, st.sampled_from(list(Odd)), itself, Odd),
    Kind(Access, st.integers(0, 7).map(Access), itself, Access),
    Kind(Literal["a,b", "a%2Cb", "~"], st.sampled_from(["a,b", "a%2Cb", "~"]), _respelled_text, "text"),
    Kind(Spot, spots, _respelled_spot, Spot),
    Kind(Path, paths, itself, Path),
]


def _tuple_of(kinds: list[Kind]) -> Kind:
    return Kind(
        tuple[tuple(kind.annotation for kind in kinds)],  # type: ignore[misc]  # made while the test runs
        st.tuples(*(kind.values for kind in kinds)),
        lambda value: st.tuples(*(kind.respelled(item) for kind, item in zip(kinds, value, strict=True))),
        "tuple",
    )


def _tuples_of(kind: Kind) -> Kind:
    return Kind(
        tuple[kind.annotation, ...],  # type: ignore[name-defined]  # made while the test runs
        st.lists(kind.values, max_size=4).map(tuple),
        lambda value: st.tuples(*(kind.respelled(item) for item in value)),
        "tuple",
    )


def _union_of(kinds: list[Kind], none: bool) -> Kind:
    alternatives = list({kind.family: kind for kind in kinds}.values())
    annotation = alternatives[0].annotation
    for kind in alternatives[1:]:
        annotation = annotation | kind.annotation
    if none:
        annotation = annotation | None

    def respelled(value: Any) -> st.SearchStrategy[Any]:
        for kind in alternatives:
            if kind.family == family_of(value):
                return kind.respelled(value)
        return st.just(value)

    values = [kind.values for kind in alternatives]
    return Kind(annotation, st.one_of(*values, st.none()) if none else st.one_of(*values), respelled, "union")


def family_of(value: Any) -> object:
    """The family of a value: types of different families have no equal values."""
    match value:
        case Enum() if not isinstance(value, str | int):
            return type(value)
        case bool():
            return "bool"
        case int() | float() | Decimal():
            return "number"
        case str():
            return "text"
        case bytes():
            return "bytes"
        case dt.datetime():
            return "datetime"
        case dt.date():
            return "date"
        case UUID():
            return "UUID"
        case tuple():
            return "tuple"
    return type(value)


def _compound(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    flat = inner.filter(lambda kind: kind.family != "union")
    return st.one_of(
        st.lists(inner, max_size=3).map(_tuple_of),
        inner.map(_tuples_of),
        st.builds(_union_of, st.lists(flat, min_size=1, max_size=3), st.booleans()),
    )


#: Annotations of every supported type, nested.
KINDS = st.recursive(st.sampled_from(PLAIN), _compound, max_leaves=3)

#: Types that the compiled key builder inlines, alone and with None.
SIMPLE = [
    kind if none is False else _union_of([kind], none=True)
    for kind in PLAIN
    if kind.annotation in (str, int, bool, float, dt.date)
    for none in (False, True)
]
