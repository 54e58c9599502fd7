"""Whether the values of a type can be shared by readers without being copied."""

from __future__ import annotations

from typing import Any

from msgspec import inspect as tree

from warmer.core.shapes import class_of, is_plain, walk

_MUTABLE = (
    tree.ListType,
    tree.SetType,
    tree.DictType,
    tree.TypedDictType,
    tree.ByteArrayType,
    tree.CustomType,
)


def is_immutable(shape: tree.Type) -> bool:
    """True only when nothing in a decoded value can be changed: frozen records and immutable leaves.

    Any, lists, dicts, sets and pydantic models are not (a frozen model may hold a list).
    """
    return all(_is_frozen(node) for _, node in walk(shape))


def _is_frozen(node: tree.Type) -> bool:
    if is_plain(node) or isinstance(node, _MUTABLE):
        return False
    if isinstance(node, tree.StructType):
        return bool(class_of(node).__struct_config__.frozen)  # type: ignore[attr-defined]  # every Struct has it
    if isinstance(node, tree.DataclassType):
        params: Any = getattr(class_of(node), "__dataclass_params__", None)
        return params is not None and bool(params.frozen)
    return True
