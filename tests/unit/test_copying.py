"""Which values are copied for their readers, which are decoded again, and what a copy shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest

from tests.property.value_types import changeable, same
from warmer.core.collecting import LARGE_BYTES
from warmer.core.values import Codec


@dataclass(frozen=True)
class Still:
    number: int
    name: str


@dataclass
class Row:
    number: int
    price: Decimal | None = None


class Struct(msgspec.Struct):
    number: int
    name: str = "x"


class Maybe(TypedDict):
    number: int
    name: NotRequired[str]


class Pair(NamedTuple):
    left: list[int]
    right: int


class Root(Struct):
    parts: list[int] = []


class Extended(msgspec.Struct, dict=True):
    number: int


@dataclass
class Alone:
    number: int


@dataclass
class Counted:
    most: ClassVar[int] = 3
    number: int
    name: str


@dataclass
class Upper:
    number: int
    name: str

    def __post_init__(self) -> None:
        self.name = self.name.upper()


@dataclass
class Own:
    number: int
    name: str

    def __init__(self, number: int, name: str) -> None:
        self.number, self.name = number + 1, name


@dataclass
class Named:
    number: int
    name: str = field(kw_only=True)


@dataclass
class Watched:
    number: int
    name: str

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Holder:
    number: int
    rows: list[int]


class Heir(Row):
    pass


@dataclass(init=False)
class Inherits(Row):
    more: int = 0


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[Still], [Still(1, "a"), Still(2, "b")]),
        (list[Row], [Row(1), Row(2, Decimal("1.5"))]),
        (tuple[Row, ...], (Row(1),)),
        (dict[str, Row], {"b": Row(1), "a": Row(2)}),
        (dict[str, list[int]], {"b": [1], "a": []}),
        (dict[int, str], {2: "x", 1: "y"}),
        (list[list[set[int]]], [[{1, 2}], []]),
        (list[Struct], [Struct(1), Struct(2, "b")]),
        (Struct, Struct(1)),
        (set[tuple[int, str]], {(1, "a")}),
        (list[int] | None, None),
        (list[int] | None, [1]),
        (Maybe, {"number": 1}),
        (list[Maybe], [{"number": 1}, {"number": 2, "name": "b"}]),
    ],
)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(annotation: Any, value: Any) -> None:
    """Lists, sets, dicts and records by value; what is in them and can't be changed is the very same."""
    codec = Codec(annotation, "q")
    assert codec.copied
    for size in (0, LARGE_BYTES):
        copy = codec.copier_of(size)(value)
        assert same(copy, value)
        assert not {id(one) for one in changeable(copy)} & {id(one) for one in changeable(value)}


@pytest.mark.parametrize(
    "one", [Alone, Counted, Upper, Own, Named, Watched, Holder, Pair, Root, Extended, Heir, Inherits]
)
def test_what_does_more_than_hold_its_fields_is_decoded_again(one: Any) -> None:
    """Code of the type's own runs for every reader, as it does where there are no copies."""
    assert not Codec(list[one], "q").copied


def test_what_everybody_may_share_needs_no_copier() -> None:
    """A tuple of frozen rows is handed out as it is."""
    codec = Codec(tuple[Still, ...], "q")
    assert codec.immutable
    assert not codec.copied
