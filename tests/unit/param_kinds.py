"""Types that params have in tests, and what becomes of their values."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from warmer.core.params import ParamType, param_type

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
