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


class MadeOtherwise(type(msgspec.Struct)):  # type: ignore[misc]
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


class UpperStruct(Struct):
    def __post_init__(self) -> None:
        self.name = self.name.upper()


class KeywordStruct(msgspec.Struct, kw_only=True):
    number: int
    name: str

    def __post_init__(self) -> None:
        pass


class OwnStruct(msgspec.Struct, metaclass=MadeOtherwise):
    number: int
    name: str

    def __post_init__(self) -> None:
        pass


@dataclass(slots=True)
class Slotted:
    number: int
    name: str


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


class Meter(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs)


@dataclass
class Metered(metaclass=Meter):
    number: int
    name: str


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
        (Row, Row(1)),
        (Upper, Upper(1, "a")),
        (Row | None, Row(2)),
        (list[Upper], [Upper(1, "a"), Upper(2, "B")]),
        (dict[str, list[Upper]], {"a": [Upper(1, "a")]}),
        (list[UpperStruct], [UpperStruct(1, "a")]),
        (list[Slotted], [Slotted(1, "a")]),
        (Maybe, {"number": 1}),
        (list[Maybe], [{"number": 1}, {"number": 2, "name": "b"}]),
    ],
)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(annotation: Any, value: Any) -> None:
    """Lists, sets, dicts and records by value; what is in them and can't be changed is the very same."""
    codec = Codec(annotation, "q")
    assert codec.copied
    for size in (0, LARGE_BYTES):
        copy = codec.copier_of(size)(codec.kept(value))
        assert same(copy, value)
        assert not {id(one) for one in changeable(copy)} & {id(one) for one in changeable(value)}


@pytest.mark.parametrize(
    "one",
    [
        *(Alone, Counted, Own, Named, Watched, Holder, Pair, Root, Extended, Heir, Inherits),
        *(KeywordStruct, OwnStruct, Metered),
    ],
)
def test_what_decoding_makes_in_another_way_than_its_class_is_decoded_again(one: Any) -> None:
    """A constructor of its own, another order of arguments, what can be changed inside: nothing is copied."""
    assert not Codec(list[one], "q").copied


@pytest.mark.parametrize("one", [Upper, UpperStruct])
def test_code_that_runs_when_a_record_is_made_runs_for_each_copy(one: Any) -> None:
    """What it sets is set anew for every reader, and the value it is copied from must be as it was stored."""
    codec = Codec(list[one], "q")
    stored = codec.decode(*codec.encode([one(1, "a")]))
    raw = msgspec.msgpack.encode(stored)
    assert codec.copying_runs_code
    assert codec.is_stored_as(stored, raw)
    assert not codec.is_stored_as(stored, raw.replace(b"A", b"a"))
    kept = codec.kept(stored)
    kept[0] = (2, "b")
    assert codec.copier_of(0)(kept) == [one(2, "B")]


def test_a_value_that_can_not_be_encoded_any_more_is_not_as_it_was_stored() -> None:
    """Whatever code of the user's has put into it, it is decoded again for each reader."""
    upper = Upper(1, "a")
    upper.name = object()  # type: ignore[assignment]
    assert not Codec(list[Upper], "q").is_stored_as([upper], b"")


def test_what_everybody_may_share_needs_no_copier() -> None:
    """A tuple of frozen rows is handed out as it is."""
    codec = Codec(tuple[Still, ...], "q")
    assert codec.immutable
    assert not codec.copied
