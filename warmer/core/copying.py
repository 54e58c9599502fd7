"""Another value from one that is at hand, for readers who may change theirs: quicker than decoding it again.

Only what can be changed is made anew; what nobody can change is shared. Of a record, what is kept is the
tuple of its fields: from that its class makes the next one in half the time that decoding takes. Where making
would be no quicker than decoding, or would not do what decoding does, there is no copying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec import inspect as tree

from warmer.core.immutability import is_immutable
from warmer.core.shapes import class_of, unwrap

Copier: TypeAlias = Callable[[Any], Any]
_All: TypeAlias = Callable[[Iterable[Any]], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Copying:
    """How values of one type are copied.

    keep: from a value to what is kept of it, which shares nothing with it that can be changed.
    make: from what is kept to a value of its own, equal to the first. keep_all, make_all: of many.
    runs_code: whether making runs code of the type's own, as decoding does. It is right only for a value
    that is encoded as it was stored: then the code is given what decoding gives it.
    """

    keep: Copier
    make: Copier
    keep_all: _All
    make_all: _All
    runs_code: bool = False


def _by(keep: Copier, make: Copier, runs_code: bool = False) -> Copying:
    return Copying(keep, make, partial(map, keep), partial(map, make), runs_code)


_copy_struct: Copier = Struct.__copy__  # type: ignore[attr-defined]  # msgspec's stub leaves it out

_FLAT: tuple[tuple[type[tree.Type], Copier, Copier], ...] = (
    (tree.ListType, list, list.copy),
    (tree.SetType, set, set.copy),
    (tree.VarTupleType, tuple, tuple),
)


def copying_of(shape: tree.Type) -> Copying | None:
    """How values of a type that can be changed are copied, as they are decoded. None: decode them again."""
    shape = unwrap(shape)
    for node, kind, flat in _FLAT:
        if isinstance(shape, node):
            return _of_items(unwrap(shape.item_type), kind, flat)  # type: ignore[attr-defined]
    if isinstance(shape, tree.DictType):
        return _of_dict(unwrap(shape.key_type), unwrap(shape.value_type))
    if isinstance(shape, tree.TypedDictType):
        return _by(dict.copy, dict.copy) if _are_immutable(shape.fields) else None
    if isinstance(shape, tree.UnionType):
        return _of_optional([unwrap(branch) for branch in shape.types])
    if isinstance(shape, tree.DataclassType):
        return _of_dataclass(shape)
    return _of_struct(shape) if isinstance(shape, tree.StructType) else None


def _of_items(item: tree.Type, kind: Copier, flat: Copier) -> Copying | None:
    if is_immutable(item):
        return _by(flat, flat)
    each = copying_of(item)
    if each is None:
        return None
    keep_all, make_all = each.keep_all, each.make_all
    return _by(
        lambda values: list(keep_all(values)), lambda kept: kind(make_all(kept)), runs_code=each.runs_code
    )


def _of_dict(key: tree.Type, value: tree.Type) -> Copying | None:
    if not is_immutable(key):
        return None
    if is_immutable(value):
        return _by(dict.copy, dict.copy)
    each = copying_of(value)
    if each is None:
        return None

    def by_key(of_all: _All) -> Copier:
        return lambda values: dict(zip(values, of_all(values.values()), strict=True))

    return _by(by_key(each.keep_all), by_key(each.make_all), each.runs_code)


def _of_optional(branches: list[tree.Type]) -> Copying | None:
    some = [branch for branch in branches if not isinstance(branch, tree.NoneType)]
    one = copying_of(some[0]) if len(some) == 1 else None
    if one is None:
        return None

    def unless_none(copy: Copier) -> Copier:
        return lambda value: None if value is None else copy(value)

    return _by(unless_none(one.keep), unless_none(one.make), one.runs_code)


def _of_struct(shape: tree.StructType) -> Copying | None:
    cls: Any = class_of(shape)
    if cls.__struct_config__.dict or not _are_immutable(shape.fields):
        return None
    if not hasattr(cls, "__post_init__"):
        return _by(_copy_struct, _copy_struct)
    fields = cls.__struct_fields__
    by_position = cls.__match_args__ == fields and type(cls).__call__ is type(Struct).__call__
    return _of_fields(cls, fields) if by_position else None


def _of_dataclass(shape: tree.DataclassType) -> Copying | None:
    cls: Any = class_of(shape)
    fields = list(vars(cls).get("__dataclass_fields__", {}).values())
    made_like_decoded = (
        len(fields) == len(shape.fields)
        and all(field.init and not field.kw_only for field in fields)
        # Its own, and made by dataclasses, which leave one that the class brings as it is.
        and getattr(vars(cls).get("__init__"), "__code__", _by.__code__).co_filename == "<string>"
        and type(cls).__call__ is type.__call__
        and cls.__new__ is object.__new__
        and cls.__setattr__ is object.__setattr__
        and cls.__getattribute__ is object.__getattribute__
    )
    if not made_like_decoded or not _are_immutable(shape.fields):
        return None
    return _of_fields(cls, tuple(field.name for field in fields))


def _of_fields(cls: Any, names: tuple[str, ...]) -> Copying | None:
    """Of records whose class takes all of its fields by position, and does then what decoding does."""
    if len(names) < 2:
        return None  # attrgetter gives no tuple of one
    fields_of = attrgetter(*names)
    return Copying(
        fields_of,
        lambda kept: cls(*kept),
        partial(map, fields_of),
        partial(starmap, cls),  # called from C for each of many
        runs_code=hasattr(cls, "__post_init__"),
    )


def _are_immutable(fields: Iterable[Any]) -> bool:
    return all(is_immutable(unwrap(field.type)) for field in fields)
