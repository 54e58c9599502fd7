"""From an annotation to its canonical param type."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ForwardRef, NewType
from uuid import UUID

from warmer.core.params.choices import EnumParam, LiteralParam
from warmer.core.params.compound import RecordParam, TupleParam
from warmer.core.params.contract import ParamType
from warmer.core.params.instants import DateParam, DatetimeParam
from warmer.core.params.plain import (
    BoolParam,
    BytesParam,
    DecimalParam,
    FloatParam,
    IntParam,
    NoneParam,
    TextParam,
    UuidParam,
)
from warmer.core.params.unions import union
from warmer.errors import UnsupportedParam

_PLAIN: dict[object, type[ParamType]] = {
    str: TextParam,
    bytes: BytesParam,
    int: IntParam,
    bool: BoolParam,
    float: FloatParam,
    Decimal: DecimalParam,
    date: DateParam,
    datetime: DatetimeParam,
    UUID: UuidParam,
    None: NoneParam,
    type(None): NoneParam,
}

#: Why an annotation that is near to a supported one is not, and what to write.
_INSTEAD: dict[object, str] = {
    tuple: "say what is in it: tuple[int, str] or tuple[int, ...]",
    list: "it can change after the call; write tuple[...]",
    set: "it can change after the call and has no order; write tuple[...] and pass it sorted",
    frozenset: "it has no order; write tuple[...] and pass it sorted",
    dict: "it can change after the call; write a frozen dataclass",
    bytearray: "it can change after the call; write bytes",
    Enum: "members of any Enum may be called the same; write the Enum's own class",
    object: "values of any type can't be told apart in a key; write the types that you pass",
    Any: "values of any type can't be told apart in a key; write the types that you pass",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an annotation stands, for errors, and the dataclasses and aliases around it."""

    where: str
    whole: object
    around: tuple[object, ...] = ()

    def refuse(self, reason: str) -> UnsupportedParam:
        """The error that names the param, its annotation and the reason."""
        return UnsupportedParam(self.where, spelled(self.whole), reason)

    def inside(self, thing: object) -> Place:
        """The place inside a dataclass or an alias. Raises UnsupportedParam when that contains itself."""
        if any(thing is one for one in self.around):
            raise self.refuse(f"{spelled(thing)} contains itself, so its values have no greatest length")
        return Place(self.where, self.whole, (*self.around, thing))


def param_type(annotation: object, where: str) -> ParamType:
    """The canonical type of an annotation, built once where a query is declared.

    annotation: a resolved one (no string at the top; strings inside, as in `tuple["Day", ...]`, are refused).
    where: the query and its param, for errors: "tasks.flights.departures(day)".
    Raises UnsupportedParam, naming both, for a type whose values have no canonical form.
    """
    return _build(annotation, Place(where, annotation))


def spelled(annotation: object) -> str:
    """The annotation as one would write it, for errors."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation.__qualname__
    return repr(annotation).replace("typing.", "")


def _build(annotation: object, place: Place) -> ParamType:
    leaves = _distinct(_leaves(annotation, place))
    literals = [leaf for leaf, _ in leaves if typing.get_origin(leaf) is typing.Literal]
    alternatives = [_leaf(leaf, inside) for leaf, inside in leaves if leaf not in literals]
    if literals:
        values = [value for literal in literals for value in typing.get_args(literal)]
        alternatives += _literals(annotation, values, place)
    if len(alternatives) == 1:
        return alternatives[0]
    try:
        return union(annotation, alternatives)
    except ValueError as reason:
        raise place.refuse(str(reason)) from None


def _leaves(annotation: object, place: Place) -> Iterator[tuple[object, Place]]:
    """The alternatives of an annotation, each without the wrappers that say nothing about its values."""
    if isinstance(annotation, NewType):
        yield from _leaves(annotation.__supertype__, place)
    elif typing.get_origin(annotation) is typing.Annotated:
        yield from _leaves(typing.get_args(annotation)[0], place)
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _leaves(one, place)
    elif type(annotation).__name__ == "TypeAliasType":  # of typing (Python 3.12) or of typing_extensions
        try:
            aliased = annotation.__value__  # type: ignore[attr-defined]  # no name for the type on 3.11
        except NameError as unknown:
            raise place.refuse(unresolved(unknown)) from unknown
        yield from _leaves(aliased, place.inside(annotation))
    else:
        yield annotation, place


def _distinct(leaves: Iterator[tuple[object, Place]]) -> list[tuple[object, Place]]:
    kept: list[tuple[object, Place]] = []
    for leaf, place in leaves:
        if all(leaf != other for other, _ in kept):
            kept.append((leaf, place))
    return kept


def _leaf(annotation: object, place: Place) -> ParamType:
    if isinstance(annotation, str | ForwardRef):
        raise place.refuse("a name in quotes inside it could not be resolved; import it at module level")
    try:
        plain = _PLAIN.get(annotation)
    except TypeError:
        plain = None
    if plain is not None:
        return plain(annotation)
    if typing.get_origin(annotation) is tuple:
        return _tuple(annotation, place)
    if isinstance(annotation, type):
        if issubclass(annotation, Enum) and annotation is not Enum:
            if not annotation.__members__:
                raise place.refuse("the Enum has no members")
            return EnumParam(annotation, annotation)
        if is_dataclass(annotation):
            return _record(annotation, place)
    raise place.refuse(_why_not(annotation))


def _why_not(annotation: object) -> str:
    if isinstance(annotation, typing.TypeVar):
        return "a TypeVar stands for any type; write the types that you pass, as a union"
    origin = typing.get_origin(annotation) or annotation
    if is_dataclass(origin):
        return "a generic dataclass; write one with its types filled in"
    if isinstance(origin, type) and issubclass(origin, tuple) and hasattr(origin, "_fields"):
        return "a NamedTuple; write tuple[...] with its types, or a frozen dataclass"
    try:
        return _INSTEAD.get(origin, "")
    except TypeError:
        return ""


def _tuple(annotation: object, place: Place) -> ParamType:
    args = typing.get_args(annotation)
    if len(args) == 2 and args[1] is Ellipsis:
        return TupleParam(annotation, (_build(args[0], place),), variadic=True)
    return TupleParam(annotation, tuple(_build(one, place) for one in args), variadic=False)


def _literals(annotation: object, values: list[object], place: Place) -> list[ParamType]:
    """A type for each type among a Literal's values."""
    groups: dict[type, list[object]] = {}
    for value in values:
        group = groups.setdefault(type(value), [])
        if value not in group:
            group.append(value)
    built: list[ParamType] = []
    for kind, group in groups.items():
        base = _leaf(kind, place)
        built.append(base if isinstance(base, NoneParam) else LiteralParam(annotation, base, group))
    return built


def _record(cls: type, place: Place) -> ParamType:
    inside = place.inside(cls)
    parameters = cls.__dataclass_params__  # type: ignore[attr-defined]  # a dataclass
    if not parameters.frozen:
        raise place.refuse(f"{cls.__qualname__} can change after the call; write @dataclass(frozen=True)")
    if not _compares_fields(cls):
        raise place.refuse(f"{cls.__qualname__} has its own idea of equality; leave __eq__ to dataclass")
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as unknown:
        raise place.refuse(f"in {cls.__qualname__}, {unresolved(unknown)}") from unknown
    for name, hint in hints.items():
        if isinstance(hint, InitVar):
            raise place.refuse(f"{cls.__qualname__}.{name} is an InitVar, which the instance does not keep")
    built: dict[str, ParamType] = {}
    for field in fields(cls):
        if not field.init or not field.compare:
            option = "init" if not field.init else "compare"
            raise place.refuse(f"{cls.__qualname__}.{field.name} has {option}=False, so no key can hold it")
        built[field.name] = _build(hints[field.name], inside)
    return RecordParam(cls, cls, built)


@dataclass(frozen=True)
class _Probe:
    """Shows what the __eq__ that dataclass writes looks like on this Python."""


def _compares_fields(cls: type) -> bool:
    """Whether __eq__ is the one that dataclass writes, which is known to compare all fields and no more."""
    written = getattr(cls.__eq__, "__code__", None)
    return written is not None and written.co_filename == _Probe.__eq__.__code__.co_filename


def unresolved(error: Exception) -> str:
    """The reason why an annotation in quotes could not be read."""
    return (
        f"it could not be resolved ({error}); what it names must be at module level, "
        "not inside a function and not only under `if TYPE_CHECKING:`"
    )
