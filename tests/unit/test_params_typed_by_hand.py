"""Params as a person types them at a shell: `warmer warm QUERY carrier=UA month=3`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import Flag
from typing import Any, Literal
from uuid import UUID

import pytest

from tests.unit.param_kinds import Side
from warmer.core.params import Misfit, param_type


class Right(Flag):
    READ = 1


@dataclass(frozen=True)
class Spot:
    x: float
    label: str | None


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "New York, (NY); 50%~", "New York, (NY); 50%~"),
        (str, "", ""),
        (bytes, "é\udcff", b"\xc3\xa9\xff"),
        (int, "3", 3),
        (int, "-03", -3),
        (bool, "True", True),
        (bool, "false", False),
        (float, "1", 1.0),
        (float, "1e+3", 1000.0),
        (Decimal, "1.50", Decimal("1.5")),
        (dt.date, "2026-11-22", dt.date(2026, 11, 22)),
        (dt.datetime, "2026-11-22T10:15", dt.datetime(2026, 11, 22, 10, 15)),
        (dt.datetime, "2026-11-22 10:15-05:00", dt.datetime(2026, 11, 22, 15, 15, tzinfo=dt.UTC)),
        (dt.datetime, "2026-11-22T151500Z", dt.datetime(2026, 11, 22, 15, 15, tzinfo=dt.UTC)),
        (UUID, "{000000000000000000000000000000FF}", UUID(int=255)),
        (Side, "DEPARTURE", Side.DEPARTURE),
        (Side, "ARR", Side.ARRIVAL),
        (Right, "READ", Right.READ),
        (Literal["a b", "c"], "a b", "a b"),
        (Literal[1, 2], "2", 2),
        (int | None, "~", None),
        (int | None, "3", 3),
        (str | None, "None", "None"),
        (int | dt.date, "2026-11-22", dt.date(2026, 11, 22)),
        (int | dt.date | None, "~", None),
        (int | str, "int~3", 3),
        (int | str, "str~3", "3"),
        (int | str, "UA", "UA"),
        (tuple[int, str], "3;UA", (3, "UA")),
        (tuple[int, ...], "", ()),
        (tuple[int, ...], "1;2;3", (1, 2, 3)),
        (Spot, "1;~", Spot(1.0, None)),
        (Spot, "1;a b", Spot(1.0, "a b")),
    ],
)
def test_a_typed_text_is_this_value(annotation: Any, text: str, value: object) -> None:
    """What a person types is read leniently, needs no escape, and ends as the canonical value."""
    kind = param_type(annotation, "q(x)")
    read = kind.from_text(text)
    assert repr(read) == repr(value)
    assert repr(kind.check(read)) == repr(value)


@pytest.mark.parametrize(
    ("annotation", "text", "expected"),
    [
        (int, "three", "int"),
        (int, "3.0", "int"),
        (bool, "yes", "bool"),
        (float, "nan", "float"),
        (Decimal, "1,5", "Decimal"),
        (dt.date, "22.11.2026", "date"),
        (dt.datetime, "noon", "datetime"),
        (UUID, "7", "UUID"),
        (Side, "arr", "one of ARRIVAL, DEPARTURE, ARR"),
        (Literal["a", "b"], "c", "one of 'a', 'b'"),
        (int | str, "3", "one of int~3, str~3"),
        (int | dt.date, "noon", "int or date"),
        (tuple[int, str], "3", "a tuple of (int, str)"),
        (Spot, "1", "x; label of Spot"),
    ],
)
def test_a_typed_text_that_does_not_fit_says_what_does(annotation: Any, text: str, expected: str) -> None:
    """The error tells a person what to type, also where a text could mean two things."""
    with pytest.raises(Misfit) as caught:
        param_type(annotation, "q(x)").from_text(text)
    assert caught.value.expected == expected
