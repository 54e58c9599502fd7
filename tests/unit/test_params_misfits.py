"""Types of params: what is no value of one, what is no token, and how that is told."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest

from tests.unit.param_kinds import (
    NEW_YORK,
    Airline,
    Right,
    Side,
    Spot,
    Window,
    at,
    built,
)
from warmer.core.params import Misfit


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
