"""Hypothesis strategies of return annotations, each with a strategy of its values."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import count
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
from hypothesis import strategies as st


class Carrier(enum.Enum):
    UA = "UA"
    AA = "American \u2708"


class Rank(enum.IntEnum):
    LOW = -1
    HIGH = 2**40


@dataclass(frozen=True)
class Kind:
    """An annotation, a strategy of its values, and what decides where it may stand."""

    annotation: Any
    values: st.SearchStrategy[Any]
    hashable: bool = True
    #: What it looks like once stored: two of one wire kind can't be in one union.
    wire: str = "str"


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ZONES = st.just(UTC) | OFFSETS
#: A day from the ends, where the same instant in UTC is still a datetime.
INSTANTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)

LEAVES = [
    Kind(type(None), st.none(), wire="none"),
    Kind(bool, st.booleans(), wire="bool"),
    Kind(int, st.integers(-(2**63), 2**64 - 1), wire="int"),
    Kind(float, st.floats(), wire="float"),
    Kind(str, TEXT),
    Kind(bytes, st.binary(max_size=40)),
    Kind(Decimal, st.decimals(allow_nan=False)),
    Kind(UUID, st.uuids()),
    Kind(date, st.dates()),
    Kind(datetime, st.datetimes()),
    Kind(datetime, INSTANTS, wire="ext"),
    Kind(time, st.times() | st.times(timezones=ZONES)),
    Kind(timedelta, st.timedeltas()),
    Kind(Carrier, st.sampled_from(Carrier)),
    Kind(Rank, st.sampled_from(Rank), wire="int"),
    Kind(Literal["a", "", "\u2708"], st.sampled_from(["a", "", "\u2708"])),
]
_names = count()


def generic(origin: Any, *args: Any) -> Any:
    """`origin[args]`, of types that are known at run time only."""
    return origin[args]


def _collections(inner: Kind) -> list[Kind]:
    few: dict[str, Any] = {"max_size": 4}
    made = [
        Kind(generic(list, inner.annotation), st.lists(inner.values, **few), hashable=False, wire="array"),
        Kind(
            generic(tuple, inner.annotation, ...),
            st.lists(inner.values, **few).map(tuple),
            hashable=inner.hashable,
            wire="array",
        ),
        Kind(
            generic(dict, str, inner.annotation),
            st.dictionaries(TEXT, inner.values, **few),
            hashable=False,
            wire="map",
        ),
    ]
    if inner.hashable:
        made += [
            Kind(generic(set, inner.annotation), st.sets(inner.values, **few), hashable=False, wire="array"),
            Kind(generic(frozenset, inner.annotation), st.frozensets(inner.values, **few), wire="array"),
            Kind(
                generic(dict, inner.annotation, int),
                st.dictionaries(inner.values, st.integers(0, 9), **few),
                hashable=False,
                wire="map",
            ),
        ]
    return made


def _records(inner: list[Kind]) -> list[Kind]:
    named = {f"f{at}": kind for at, kind in enumerate(inner)}
    types = {name: kind.annotation for name, kind in named.items()}
    values = {name: kind.values for name, kind in named.items()}
    mark = f"R{next(_names)}"
    hashable = all(kind.hashable for kind in inner)
    frozen = make_dataclass(f"Frozen{mark}", types.items(), frozen=True, slots=True)
    tuple_type = NamedTuple(f"Tuple{mark}", list(types.items()))  # type: ignore[misc]
    dict_type = TypedDict(f"Dict{mark}", types)  # type: ignore[misc]
    struct = msgspec.defstruct(f"Struct{mark}", list(types.items()))
    made: list[tuple[Any, Callable[..., Any], bool, str]] = [
        (make_dataclass(f"Data{mark}", types.items()),) * 2 + (False, "map"),
        (frozen, frozen, hashable, "map"),
        (struct, struct, False, "map"),
        (tuple_type, tuple_type, hashable, "array"),
        (dict_type, dict, False, "map"),
    ]
    return [
        Kind(kind, st.builds(build, **values), hashable=may_be_key, wire=wire)
        for kind, build, may_be_key, wire in made
    ]


def _optional(inner: Kind) -> Kind:
    if inner.wire == "none" or inner.annotation == inner.annotation | None:
        return inner
    return Kind(inner.annotation | None, st.none() | inner.values, inner.hashable, "mixed")


def _compound(kinds: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    return st.one_of(
        kinds.flatmap(lambda inner: st.sampled_from(_collections(inner))),
        st.lists(kinds, min_size=1, max_size=3).flatmap(lambda inner: st.sampled_from(_records(inner))),
        kinds.map(_optional),
        st.lists(kinds, max_size=3).map(_fixed),
    )


def _fixed(inner: list[Kind]) -> Kind:
    annotation = generic(tuple, *(kind.annotation for kind in inner))
    hashable = all(kind.hashable for kind in inner)
    return Kind(annotation, st.tuples(*(kind.values for kind in inner)), hashable, "array")


KINDS: st.SearchStrategy[Kind] = st.recursive(st.sampled_from(LEAVES), _compound, max_leaves=6)


@st.composite
def annotated_values(draw: st.DrawFn) -> tuple[Any, Any]:
    """An annotation and a value of it."""
    kind = draw(KINDS)
    return kind.annotation, draw(kind.values)


def same(one: Any, other: Any) -> bool:
    """Equal and of the same types all the way down; NaN is the same as NaN, an instant as itself in UTC.

    The oracle of these tests: written for plainness, one value at a time, knowing nothing of the codec.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (one == other and str(one) == str(other))
    if isinstance(one, datetime) and one.tzinfo is not None:
        return other.tzinfo is not None and one.astimezone(UTC) == other.astimezone(UTC)
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(*keys) and same(one[keys[0]], other[keys[1]]) for keys in zip(one, other, strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(item, found) for found in other) for item in one)
    if is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, msgspec.Struct):
        return all(same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    if isinstance(one, Decimal):
        return str(one) == str(other)
    return bool(one == other)


def changeable(value: Any) -> Iterator[Any]:
    """Every object in a value that somebody could change, the value itself included."""
    inside: Any = ()
    if isinstance(value, dict):
        inside = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inside = value
    elif is_dataclass(value):
        inside = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, msgspec.Struct):
        inside = [getattr(value, name) for name in value.__struct_fields__]
    frozen = getattr(value, "__dataclass_params__", None) or getattr(value, "__struct_config__", None)
    if isinstance(value, list | dict | set) or (frozen is not None and not frozen.frozen):
        yield value
    for one in inside:
        yield from changeable(one)
