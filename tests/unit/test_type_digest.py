"""The digest of a type's structure, and whether a type's values can be shared."""

from __future__ import annotations

import enum
import os
import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import msgspec
import pytest
from typing_extensions import TypeAliasType

from warmer.core.shapes import shape_of
from warmer.core.type_digest import structure
from warmer.core.values import Codec

T = TypeVar("T")


def _digest(annotation: Any) -> str:
    return Codec(annotation, "q").type_digest


@dataclass
class Delay:
    carrier: str
    mean: Decimal
    day: date | None = None


@dataclass
class Renamed:
    day: Optional[date]  # noqa: UP045 - both spellings are one type
    mean: Decimal
    carrier: str = "UA"


@dataclass
class Node:
    name: str
    left: Node | None
    children: list[Node]


@dataclass
class Knot:
    name: str
    left: Knot | None
    children: list[Knot]


@dataclass
class Loop:
    name: str
    left: Loop | None
    children: tuple[Loop, ...]


@dataclass
class Page(Generic[T]):
    items: list[T]


class Carrier(enum.Enum):
    UA = "UA"
    AA = "AA"


class Line(enum.Enum):
    AMERICAN = "AA"
    UNITED = "UA"


class Fleet(enum.Enum):
    UA = "UA"
    AA = "AA"
    DL = "DL"


class Record(msgspec.Struct):
    a: int
    b: int


class Turned(msgspec.Struct):
    b: int
    a: int


class Array(msgspec.Struct, array_like=True):
    a: int
    b: int


class TurnedArray(msgspec.Struct, array_like=True):
    b: int
    a: int


class Shown(msgspec.Struct, rename="camel"):
    long_name: int


class Hidden(msgspec.Struct):
    long_name: int


class Tagged(msgspec.Struct, tag="t"):
    a: int
    b: int


class Omits(msgspec.Struct, omit_defaults=True):
    a: int = 1
    b: frozenset[str] = frozenset({"x", "y", "z"})


class OmitsOther(msgspec.Struct, omit_defaults=True):
    a: int = 2
    b: frozenset[str] = frozenset({"x", "y", "z"})


class Makes(msgspec.Struct, omit_defaults=True):
    a: list[int] = field(default_factory=list)


class Total(TypedDict):
    a: int


class Loose(TypedDict):
    a: NotRequired[int]


class Pair(NamedTuple):
    a: int
    b: str


class Riap(NamedTuple):
    b: str
    a: int


Alias = TypeAliasType("Alias", list[Delay])


def _fields(**fields: Any) -> Any:
    return make_dataclass("Made", fields.items())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Delay, Renamed),
        (list[Delay], Alias),
        (list[Delay], Annotated[list[Renamed], "documented"]),
        (Optional[int], Union[None, int]),  # noqa: UP007, UP045
        (int | str | None, Union[str, None, int]),  # noqa: UP007
        (Literal["a", "b"], Literal["b", "a"]),
        (Node, Knot),
        (Carrier, Line),
        (Record, Turned),
        (Page[int], _fields(items=list[int])),
        (Annotated[int, msgspec.Meta(title="one")], Annotated[int, msgspec.Meta(title="other")]),
    ],
)
def test_types_of_one_structure_have_one_digest(one: Any, other: Any) -> None:
    """Names of classes, order of fields, defaults and spelling do not change what is stored."""
    assert _digest(one) == _digest(other)


#: All of different structure: one field, one type, one constraint apart.
DIFFERENT: list[Any] = [
    str,
    int,
    float,
    bool,
    bytes,
    bytearray,
    Decimal,
    UUID,
    date,
    datetime,
    time,
    timedelta,
    None,
    int | None,
    int | str,
    list[int],
    list[int | None],
    list[str],
    set[int],
    frozenset[int],
    tuple[int, ...],
    tuple[int],
    tuple[int, str],
    tuple[str, int],
    tuple[()],
    dict[str, int],
    dict[int, str],
    dict[str, Any],
    list[Any],
    Literal["a"],
    Literal["1"],
    Literal[1],
    Carrier,
    Fleet,
    Delay,
    _fields(carrier=str, mean=Decimal),
    _fields(carrier=str, mean=Decimal, day=date),
    _fields(carrier=str, mean=float, day=date | None),
    _fields(carrier=str, mean=Decimal, days=date | None),
    _fields(carrier=str, mean=Decimal, day=date | None, more=int),
    Node,
    Loop,
    Page[int],
    Page[str],
    Record,
    Array,
    TurnedArray,
    Tagged,
    Shown,
    Hidden,
    Omits,
    OmitsOther,
    Makes,
    Total,
    Loose,
    Pair,
    Riap,
    Annotated[int, msgspec.Meta(gt=0)],
    Annotated[int, msgspec.Meta(gt=1)],
    Annotated[str, msgspec.Meta(max_length=1)],
    list[Annotated[int, msgspec.Meta(gt=0)]],
]


def test_types_of_different_structure_have_different_digests() -> None:
    """A field added, renamed or retyped, or anything else that changes what is stored, is another version."""
    texts: dict[str, Any] = {}
    for annotation in DIFFERENT:
        text = structure(shape_of(annotation, "q"))
        assert text not in texts, (annotation, texts[text])
        texts[text] = annotation
    assert len({_digest(annotation) for annotation in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("annotation", "text", "digest"),
    [
        (int | None, "union(int,none)", "399c83a985"),
        (
            list[Delay],
            "list(dataclass('carrier':str,'day':union(date,none),'mean':decimal))",
            "6b5d1bcace",
        ),
        (
            Node,
            "dataclass('children':list(^0),'left':union(^0,none),'name':str)",
            "e4969dbe66",
        ),
        (
            Omits,
            'struct(NoneType=None,NoneType=None;\'a\':int=1,\'b\':frozenset(str)=["x","y","z"])',
            "426707e5d5",
        ),
        (Carrier, "enum(str='AA',str='UA')", "9b8679a4bc"),
    ],
)
def test_a_digest_is_the_same_in_every_release(annotation: Any, text: str, digest: str) -> None:
    """An upgrade of Python, msgspec or this package must not make every entry cold."""
    assert structure(shape_of(annotation, "q")) == text
    assert _digest(annotation) == digest


PRINT_DIGESTS = """
from tests.unit.test_type_digest import DIFFERENT, _digest
print(*map(_digest, DIFFERENT))
"""


def test_a_digest_is_the_same_in_every_process() -> None:
    """Neither the seed of Python's hashes nor addresses in memory get into it."""
    elsewhere = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert elsewhere.stdout.split() == [_digest(annotation) for annotation in DIFFERENT]


@dataclass(frozen=True)
class Frozen:
    code: str
    tags: tuple[str, ...]
    next: Frozen | None


@dataclass(frozen=True)
class Holder:
    items: list[int]


class FrozenStruct(msgspec.Struct, frozen=True):
    a: tuple[Frozen, ...]


class PairOfLists(NamedTuple):
    a: list[int]


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        str,
        None,
        Decimal | None,
        datetime,
        UUID,
        bytes,
        Carrier,
        Literal["a"],
        tuple[int, str],
        tuple[date, ...],
        frozenset[str],
        Frozen,
        FrozenStruct,
        Pair,
        tuple[Frozen | None, ...],
    ],
)
def test_values_that_nothing_can_change_may_be_shared(annotation: Any) -> None:
    """Immutable leaves, and frozen records of them all the way down."""
    assert Codec(annotation, "q").immutable is True


@pytest.mark.parametrize(
    "annotation",
    [
        list[int],
        dict[str, int],
        set[int],
        bytearray,
        Delay,
        Record,
        Total,
        Holder,
        PairOfLists,
        tuple[list[int], ...],
        tuple[Any, ...],
        frozenset[Any],
        Delay | None,
    ],
)
def test_values_that_somebody_could_change_may_not_be_shared(annotation: Any) -> None:
    """One list anywhere inside is enough."""
    assert Codec(annotation, "q").immutable is False
