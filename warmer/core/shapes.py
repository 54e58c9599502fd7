"""What a query's return annotation is made of, and whether it can be stored and come back as that type.

msgspec's own description of a type (`msgspec.inspect`) is the tree that the codec, its checks and the type
digest all walk; this module makes it and refuses what would not come back as annotated.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterator
from functools import reduce
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import inspect as tree

from warmer.core.models import model_base
from warmer.errors import UnstorableResult

#: Nodes with named fields, in the order of the type's declaration.
RECORDS = (tree.DataclassType, tree.StructType, tree.TypedDictType, tree.NamedTupleType)
#: Nodes with any number of items of one type.
COLLECTIONS = (tree.ListType, tree.SetType, tree.FrozenSetType, tree.VarTupleType, tree.CollectionType)

_UNHASHABLE = (tree.ListType, tree.SetType, tree.DictType, tree.TypedDictType, tree.ByteArrayType)
_ROWS = "make rows into a dataclass or a tuple, as in [DelayRow(**row._mapping) for row in rows]"


def describe(annotation: object) -> str:
    """The annotation as a person would write it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__qualname__ if annotation.__module__ != "builtins" else annotation.__name__
    return str(annotation).replace("typing.", "")


def shape_of(annotation: object, where: str) -> tree.Type:
    """The tree of a storable return annotation.

    Raises UnstorableResult, naming `where`, for whatever would not come back as the annotated type.
    """

    def refuse(reason: str) -> UnstorableResult:
        return UnstorableResult(describe(annotation), where, reason)

    if annotation is inspect.Signature.empty:
        raise UnstorableResult("nothing that is annotated", where, "write `-> list[DelayRow]`, for example")
    if isinstance(annotation, str):
        raise refuse(
            "the annotation is text that was not resolved; import its names where the query can see them"
        )
    try:
        shape = unwrap(tree.type_info(unalias(annotation)))
    except NameError as missing:
        raise refuse(f"{missing}; import it at run time too, not only under TYPE_CHECKING") from missing
    except RecursionError as endless:
        raise refuse("it contains itself; recursion must go through a dataclass or a Struct") from endless
    except (TypeError, ValueError) as unsupported:
        raise refuse(_advise(str(unsupported))) from unsupported
    if is_plain(shape):
        raise refuse("it says nothing about the value; write what the query returns")
    if (
        isinstance(shape, (*COLLECTIONS, tree.DictType))
        and not get_args(annotation)
        and not _is_alias(annotation)
    ):
        raise refuse(
            "it does not say what is inside; write list[DelayRow] or dict[str, Decimal], for example"
        )
    for path, node in walk(shape):
        reason = _refusal(node)
        if reason is not None:
            raise refuse(f"{path}: {reason}" if path else reason)
    return shape


def unwrap(node: tree.Type) -> tree.Type:
    """The node without the wrapper that carries documentation only."""
    while isinstance(node, tree.Metadata):
        node = node.type
    return node


def unalias(annotation: Any) -> Any:
    """The annotation with type aliases (`type Rows = list[Row]`) replaced by what they stand for."""
    origin, args = get_origin(annotation), get_args(annotation)
    if _is_alias(annotation):
        return unalias(annotation.__value__)
    if _is_alias(origin):
        return unalias(origin.__value__[args])
    if not args or origin is None or not any(_has_alias(arg) for arg in args):
        return annotation
    if origin is Annotated:
        return Annotated[(unalias(args[0]), *args[1:])]
    if origin is Union or origin is UnionType:
        return reduce(operator.or_, map(unalias, args))
    return origin[tuple(map(unalias, args))]


def children(node: tree.Type) -> Iterator[tuple[str, tree.Type]]:
    """The nodes directly inside this one, each with the name that a person would call it by."""
    if isinstance(node, RECORDS):
        for field in node.fields:
            yield f"{class_of(node).__name__}.{field.name}", unwrap(field.type)
    elif isinstance(node, COLLECTIONS):
        yield "an item", unwrap(node.item_type)
    elif isinstance(node, tree.TupleType):
        for position, item in enumerate(node.item_types):
            yield f"item {position}", unwrap(item)
    elif isinstance(node, tree.DictType):
        yield "a key", unwrap(node.key_type)
        yield "a value", unwrap(node.value_type)
    elif isinstance(node, tree.UnionType):
        for branch in node.types:
            yield "", unwrap(branch)


def walk(shape: tree.Type) -> Iterator[tuple[str, tree.Type]]:
    """Every node of the tree once, with the name of its place; a recursive type ends where it began."""
    seen: set[int] = set()
    waiting = [("", shape)]
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield path, node
        waiting.extend((name or path, child) for name, child in children(node))


def class_of(node: Any) -> type:
    """The class of a record, enum or custom node; of a generic one, the class without its arguments."""
    return get_origin(node.cls) or node.cls  # type: ignore[no-any-return]  # msgspec leaves it untyped


def is_plain(node: tree.Type) -> bool:
    """Whether the node says nothing (Any, object, a union with one); inside a type it means plain values."""
    if isinstance(node, tree.UnionType):
        return any(is_plain(unwrap(branch)) for branch in node.types)
    return isinstance(node, tree.AnyType) or (isinstance(node, tree.CustomType) and node.cls is object)


def is_model(node: tree.Type) -> bool:
    """Whether the node is a pydantic model. Never imports pydantic: its user has."""
    base = model_base()
    return base is not None and isinstance(node, tree.CustomType) and issubclass(class_of(node), base)


def _is_alias(annotation: object) -> bool:
    # typing's own (3.12) and typing_extensions' are different classes; both have __value__.
    return type(annotation).__name__ == "TypeAliasType"


def _has_alias(annotation: object) -> bool:
    return (
        _is_alias(annotation)
        or _is_alias(get_origin(annotation))
        or any(_has_alias(arg) for arg in get_args(annotation))
    )


def _refusal(node: tree.Type) -> str | None:
    """Why a node can't be stored, or None."""
    if isinstance(node, (tree.CustomType, *RECORDS)) and hasattr(class_of(node), "__mapper__"):
        return f"{class_of(node).__name__} is an ORM entity, tied to its session; copy it into a dataclass"
    if isinstance(node, tree.CustomType) and not is_plain(node) and not is_model(node):
        return _custom_refusal(class_of(node))
    if isinstance(node, (tree.RawType, tree.ExtType, tree.MemoryViewType)):
        return "raw bytes come back as bytes; annotate bytes"
    if isinstance(node, (tree.SetType, tree.FrozenSetType)) and not _hashable(node.item_type):
        return "the items of a set must be hashable; use a tuple, a NamedTuple or a frozen dataclass"
    if isinstance(node, tree.DictType) and not _hashable(node.key_type):
        return "the keys of a dict must be hashable; use a tuple, a NamedTuple or a frozen dataclass"
    return None


def _custom_refusal(cls: type) -> str:
    package, name = cls.__module__.partition(".")[0], cls.__name__
    if package in {"sqlalchemy", "sqlite3", "psycopg"}:
        return f"{name} belongs to its connection; {_ROWS}"
    if cls.__module__ == "collections":
        return f"{name} would come back as a plain list or dict; annotate that, and convert to it"
    if cls.__module__ == "collections.abc" or hasattr(cls, "__next__"):
        return f"{name} can be consumed or called, but not stored; return a list or a dict of what it gives"
    if package in {"numpy", "pandas", "polars", "pyarrow"}:
        return f"{name} is not stored; return its rows as dataclasses or tuples of Python's own types"
    return f"{name} is not a type that can be stored; make it a dataclass with annotated fields"


def _hashable(node: tree.Type) -> bool:
    node = unwrap(node)
    if isinstance(node, _UNHASHABLE):
        return False
    if (
        isinstance(node, (tree.DataclassType, tree.StructType, tree.CustomType))
        and class_of(node).__hash__ is None
    ):
        return False
    return isinstance(node, RECORDS[:2]) or all(_hashable(child) for _, child in children(node))


def _advise(reason: str) -> str:
    """msgspec's reason, and what to do about it."""
    if "union" in reason.lower():
        return (
            f"{reason}. Kinds that look alike once stored can't be told apart: use one, tagged Structs "
            "(class Delay(msgspec.Struct, tag=True)), or a dataclass with one optional field each"
        )
    return reason
