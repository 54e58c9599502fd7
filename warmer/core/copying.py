"""Another value from one that is at hand, for readers who may change theirs: quicker than decoding it again.

Only what can be changed is made anew; what nobody can change is shared. Where that would be no quicker than
decoding, or would leave out what decoding does (code of the type's own), there is no copier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import starmap
from operator import attrgetter
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec import inspect as tree

from warmer.core.immutability import is_immutable
from warmer.core.shapes import class_of, unwrap

#: From a value of one type to its equal, which shares nothing with it that can be changed.
Copier: TypeAlias = Callable[[Any], Any]

_copy_struct: Copier = Struct.__copy__  # type: ignore[attr-defined]  # msgspec's stub leaves it out

_FLAT: tuple[tuple[type[tree.Type], Copier, Copier], ...] = (
    (tree.ListType, list, list.copy),
    (tree.SetType, set, set.copy),
    (tree.VarTupleType, tuple, tuple),
)


def copier_of(shape: tree.Type) -> Copier | None:
    """What copies values of a type that can be changed, as they are decoded. None: decode them again."""
    shape = unwrap(shape)
    for node, kind, flat in _FLAT:
        if isinstance(shape, node):
            return _of_items(unwrap(shape.item_type), kind, flat)  # type: ignore[attr-defined]
    if isinstance(shape, tree.DictType):
        return _of_dict(unwrap(shape.key_type), unwrap(shape.value_type))
    if isinstance(shape, tree.TypedDictType):
        return dict.copy if _are_immutable(shape.fields) else None
    if isinstance(shape, tree.UnionType):
        return _of_optional([unwrap(branch) for branch in shape.types])
    return _of_struct(shape) if isinstance(shape, tree.StructType) else None


def _of_items(item: tree.Type, kind: Copier, flat: Copier) -> Copier | None:
    if is_immutable(item):
        return flat
    if isinstance(item, tree.DataclassType):
        fields_of = _fields_of(item)
        cls = class_of(item)
        return None if fields_of is None else lambda values: kind(starmap(cls, map(fields_of, values)))
    copy = copier_of(item)
    return None if copy is None else lambda values: kind(map(copy, values))


def _of_dict(key: tree.Type, value: tree.Type) -> Copier | None:
    if not is_immutable(key):
        return None
    if is_immutable(value):
        return dict.copy
    listed = _of_items(value, iter, iter)
    return None if listed is None else lambda values: dict(zip(values, listed(values.values()), strict=True))


def _of_optional(branches: list[tree.Type]) -> Copier | None:
    some = [branch for branch in branches if not isinstance(branch, tree.NoneType)]
    copy = copier_of(some[0]) if len(some) == 1 else None
    return None if copy is None else lambda value: None if value is None else copy(value)


def _of_struct(shape: tree.StructType) -> Copier | None:
    cls: Any = class_of(shape)
    has_more = hasattr(cls, "__post_init__") or cls.__struct_config__.dict
    return None if has_more or not _are_immutable(shape.fields) else _copy_struct


def _fields_of(shape: tree.DataclassType) -> Copier | None:
    """What takes from a record the arguments of its class, where that does no more than decoding does.

    (One record alone is decoded as quickly; with several, all is called from C.)
    """
    cls: Any = class_of(shape)
    fields = list(vars(cls).get("__dataclass_fields__", {}).values())
    plain = (
        len(fields) == len(shape.fields) >= 2  # attrgetter gives no tuple of one
        and all(field.init and not field.kw_only for field in fields)
        # Its own, and made by dataclasses, which leave one that the class brings as it is.
        and getattr(vars(cls).get("__init__"), "__code__", _fields_of.__code__).co_filename == "<string>"
        and not hasattr(cls, "__post_init__")
        and not hasattr(cls, "__slots__")  # msgspec makes these as quickly
        and cls.__new__ is object.__new__
        and cls.__setattr__ is object.__setattr__
        and cls.__getattribute__ is object.__getattribute__
    )
    if not plain or not _are_immutable(shape.fields):
        return None
    return attrgetter(*(field.name for field in fields))


def _are_immutable(fields: Iterable[Any]) -> bool:
    return all(is_immutable(unwrap(field.type)) for field in fields)
