"""From annotations to param types: which are understood, which are refused, and with what advice."""

from __future__ import annotations

import datetime as dt
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import GenericAlias
from typing import Annotated, Any, ClassVar, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union
from uuid import UUID

import pytest
from typing_extensions import TypeAliasType

from warmer.core.params import ParamType, param_type, spelled
from warmer.errors import UnsupportedParam

T = TypeVar("T")
Code = NewType("Code", str)
Codes = NewType("Codes", tuple[Code, ...])
Day = TypeAliasType("Day", dt.date)
DayOrNone = TypeAliasType("DayOrNone", Day | None)
Bare = namedtuple("Bare", "left right")


class Later:
    """What Python 3.12 makes of `type Name = ...`: an alias whose value is looked up when it is asked for."""

    def __init__(self, name: str, value: Callable[[], Any]) -> None:
        self.name, self._value = name, value

    @property
    def __value__(self) -> Any:
        return self._value()

    def __repr__(self) -> str:
        return self.name


Later.__name__ = "TypeAliasType"
Endless: Any = Later("Endless", lambda: int | GenericAlias(tuple, (Endless, ...)))
Unknown: Any = Later("Unknown", lambda: Missing)  # type: ignore[name-defined]  # noqa: F821
Known: Any = Later("Known", lambda: Day | None)


class Airline(StrEnum):
    UNITED = "UA"


class Hub(StrEnum):
    NEWARK = "EWR"


class Month(IntEnum):
    MARCH = 3


class Empty(Enum):
    pass


class Stamp(dt.datetime, Enum):
    EPOCH = 1970, 1, 1


Namesake: Any = Enum("Spot", {"A": 1})  # type: ignore[misc]  # the name is the point
Unbound: Any = tuple[T, ...]  # type: ignore[valid-type]  # bound to nothing
Applied: Any = TypeAliasType("Applied", tuple[T, ...], type_params=(T,))  # type: ignore[arg-type]


class Pair(NamedTuple):
    left: int


@dataclass(frozen=True)
class Spot:
    """With what a dataclass may have besides its fields."""

    kind: ClassVar[str] = "spot"
    x: float
    y: float = field(default=0.0, kw_only=True, repr=False)

    @property
    def size(self) -> float:
        return self.x * self.y


@dataclass
class Melting:
    x: int


@dataclass(frozen=True, eq=False)
class Unequal:
    x: int


@dataclass(frozen=True)
class Peculiar:
    x: int

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # equal to everything


@dataclass(frozen=True)
class Overlooked:
    x: int
    note: str = field(default="", compare=False)


@dataclass(frozen=True)
class Computed:
    x: int
    double: int = field(init=False, default=0)


@dataclass(frozen=True)
class Seeded:
    x: int
    seed: InitVar[int]


@dataclass(frozen=True)
class Tree:
    branches: tuple[Tree, ...]


@dataclass(frozen=True)
class Box(Generic[T]):
    item: T


@dataclass(frozen=True)
class Lost:
    x: Missing  # type: ignore[name-defined]  # noqa: F821


@dataclass(frozen=True)
class Holder:
    anything: Any


class Plain:
    pass


def built(annotation: Any) -> ParamType:
    """The type of an annotation."""
    return param_type(annotation, "tasks.flights.delays(day)")


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (str, "str"),
        (None, "None"),
        (type(None), "None"),
        (Code, "str"),
        (Codes, "a tuple of any number of: str"),
        (Annotated[int, "id"], "int"),
        (Annotated[Code, "code"], "str"),
        (Day, "date"),
        (DayOrNone, "date or None"),
        (Known, "date or None"),
        (tuple[Known, Known], "a tuple of (date or None, date or None)"),
        (Optional[int], "int or None"),  # noqa: UP045 - users write it
        (Union[int, str], "int or str"),  # noqa: UP007 - users write it
        (int | None, "int or None"),
        (Code | str, "str"),
        (int | Annotated[int | None, "x"], "int or None"),
        (int | float, "float"),
        (float | int | None, "float or None"),
        (int | Decimal, "Decimal"),
        (Literal["all"] | str, "str"),
        (Literal["a"] | Literal["b"], "one of 'a', 'b'"),
        (Literal["a", 1, None], "'a' or 1 or None"),
        (Literal["all"] | int, "int or 'all'"),
        (Literal[1] | int | float, "float"),
        (Literal[None], "None"),
        (Literal[None] | None, "None"),
        (Literal["a"] | Literal["b", "a"], "one of 'a', 'b'"),
        (Literal[Airline.UNITED] | Airline, "a member of Airline"),
        (tuple[int, ...] | None, "a tuple of any number of: int or None"),
        (tuple[()], "a tuple of ()"),
        (Airline | int, "a member of Airline or int"),
        (dt.date | dt.datetime | UUID | bytes | bool, "date or datetime or UUID or bytes or bool"),
        (Spot, "Spot"),
        (Stamp, "a member of Stamp"),
    ],
)
def test_an_annotation_is_understood(annotation: Any, name: str) -> None:
    """Wrappers that say nothing about values are looked through, and what one type covers is one type."""
    assert built(annotation).name == name


@pytest.mark.parametrize(
    ("annotation", "advice"),
    [
        (Any, "write the types that you pass"),
        (object, "write the types that you pass"),
        (list, "write tuple"),
        (list[int], "write tuple"),
        (set[int], "pass it sorted"),
        (frozenset[int], "pass it sorted"),
        (dict[str, int], "write a frozen dataclass"),
        (bytearray, "write bytes"),
        (tuple, "say what is in it"),
        (Enum, "the Enum's own class"),
        (Empty, "has no members"),
        (Pair, "NamedTuple"),
        (Bare, "NamedTuple"),
        (T, "TypeVar"),
        (Unbound, "TypeVar"),
        (Box[int], "generic dataclass"),
        (Box, "TypeVar"),
        (Melting, "frozen=True"),
        (Unequal, "leave __eq__ to dataclass"),
        (Peculiar, "leave __eq__ to dataclass"),
        (Overlooked, "compare=False"),
        (Computed, "init=False"),
        (Seeded, "InitVar"),
        (Tree, "Tree contains itself"),
        (Endless, "Endless contains itself"),
        (Lost, "'Missing' is not defined"),
        (Unknown, "could not be resolved"),
        (Holder, "write the types that you pass"),
        ("Day", "import it at module level"),
        (Literal["a"] | Literal[1] | float, "equal values"),
        (str | Airline, "equal values"),
        (Airline | Hub, "equal values"),
        (int | Month, "equal values"),
        (float | Decimal, "equal values"),
        (dt.datetime | Stamp, "equal values"),
        (tuple[int, ...] | tuple[str, ...], "equal values"),
        (Spot | Namesake, "two of its types are called Spot"),
        (Plain, ""),
        (complex, ""),
        (dt.time, ""),
        (dt.timedelta, ""),
        (type[int], ""),
        (Callable[[], int], ""),
        (Sequence[int], ""),
        (3, ""),
        ([int], ""),
        (Applied[int], ""),
    ],
)
def test_an_annotation_without_canonical_form_is_refused(annotation: Any, advice: str) -> None:
    """The error names the query and the param, and says what to write."""
    with pytest.raises(UnsupportedParam) as caught:
        built(annotation)
    assert caught.value.where == "tasks.flights.delays(day)"
    assert advice in caught.value.reason
    assert "tasks.flights.delays(day)" in str(caught.value)


def test_one_dataclass_may_stand_in_several_places() -> None:
    """Only a dataclass inside itself is endless, not one that is used twice."""

    assert built(tuple[Spot, Spot, tuple[Spot, ...]]).check((Spot(1), Spot(2), ())) == (Spot(1), Spot(2), ())


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (list[int], "list[int]"),
        (Optional[int], "Optional[int]"),  # noqa: UP045 - users write it
        (Callable[[int], str], "collections.abc.Callable[[int], str]"),
        (Spot, "Spot"),
    ],
)
def test_an_annotation_is_shown_as_it_is_written(annotation: Any, text: str) -> None:
    """Errors show `Optional[int]`, not how typing spells it."""
    assert spelled(annotation) == text
