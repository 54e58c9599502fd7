"""Queries that have keys in tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from warmer.core.keys import KeyFactory
from warmer.core.signature import read_params

DAY = dt.date(2026, 11, 22)


class Airline(StrEnum):
    UNITED = "UA"


class Loud(str):
    """A text that would write itself in another way."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return self.upper() + "!"

    def isalnum(self) -> bool:
        return True


@dataclass(frozen=True)
class Spot:
    x: float
    label: str = ""


def delays(carrier: str, month: int = 3) -> None:
    """A query."""


def board(day: dt.date, /, airport: str | None = None, *, late: bool = False) -> None:
    """A query with params of every kind."""


def everything() -> None:
    """A query without params."""


def near(spot: Spot, price: Decimal, id: UUID) -> None:
    """A query whose params can't be inlined."""


def factory(
    fn: Callable[..., object] = delays,
    *,
    namespace: str = "flights",
    shards: int = 1,
    query: str = "",
    version: str = "7",
) -> KeyFactory:
    """The factory of a function's query."""
    params = read_params(fn, query or fn.__name__)
    return KeyFactory(namespace, shards, query or fn.__name__, version, params.signature, params.types)
