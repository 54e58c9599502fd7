"""Types of params: the token of each value, and that equal values have one."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import Any, Literal
from uuid import UUID

import pytest

from tests.unit.param_kinds import (
    KOLKATA,
    NEW_YORK,
    Airline,
    Mode,
    Month,
    Pair,
    Right,
    Side,
    Spot,
    Text,
    Window,
    at,
    built,
    token,
)


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
