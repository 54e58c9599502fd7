"""A short digest of a type's structure: the version of a query that has not been given one.

Two processes whose annotation has the same fields of the same types agree on it, whatever the hash seed, the
Python version, the defaults, the names of the classes, or the order of a union; one field added, renamed or
retyped changes it, so that old and new processes keep their entries apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

import msgspec
from msgspec import inspect as tree

from warmer.core.shapes import RECORDS, children, class_of, is_model, is_plain, unwrap

#: Bytes of the digest. It only has to tell apart the versions of one query.
DIGEST_BYTES = 5
_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")
_NAMES: dict[type[tree.Type], str] = {
    tree.NoneType: "none",
    tree.BoolType: "bool",
    tree.IntType: "int",
    tree.FloatType: "float",
    tree.StrType: "str",
    tree.BytesType: "bytes",
    tree.ByteArrayType: "bytearray",
    tree.DateTimeType: "datetime",
    tree.DateType: "date",
    tree.TimeType: "time",
    tree.TimeDeltaType: "timedelta",
    tree.DecimalType: "decimal",
    tree.UUIDType: "uuid",
    tree.ListType: "list",
    tree.SetType: "set",
    tree.FrozenSetType: "frozenset",
    tree.VarTupleType: "tuple...",
    tree.TupleType: "tuple",
    tree.DictType: "dict",
}
#: What a node is in, outermost first: ids of nodes, and pydantic models.
Inside: TypeAlias = tuple[object, ...]


def type_digest(shape: tree.Type) -> str:
    """10 hex digits of the structure below `shape` (see `structure`)."""
    return blake2b(structure(shape).encode(), digest_size=DIGEST_BYTES).hexdigest()


def structure(node: tree.Type, inside: Inside = ()) -> str:
    """The canonical text of a type's structure; a recursive type refers to itself by its depth.

    inside: what this node is in, outermost first: ids of nodes, and pydantic models.
    """
    node = unwrap(node)
    if id(node) in inside:
        return f"^{inside.index(id(node))}"
    below = (*inside, id(node))
    if is_plain(node):
        return "any"
    if isinstance(node, tree.UnionType):
        return _union(structure(branch, below) for branch in node.types)
    if isinstance(node, tree.LiteralType):
        return f"literal({_constants(node.values)})"
    if isinstance(node, tree.EnumType):
        return f"enum({_constants(member.value for member in node.cls)})"
    if isinstance(node, RECORDS):
        return _record(node, below)
    if isinstance(node, tree.CustomType):
        return _model(class_of(node), inside) if is_model(node) else _named(class_of(node))
    items = [structure(child, below) for _, child in children(node)]
    return f"{_NAMES[type(node)]}{_constraints(node)}{'(' + ','.join(items) + ')' if items else ''}"


def _record(node: Any, below: Inside) -> str:
    fields = [
        f"{field.encode_name!a}:{structure(field.type, below)}{_presence(node, field)}"
        for field in node.fields
    ]
    if isinstance(node, tree.TypedDictType):
        return f"typeddict({','.join(sorted(fields))})"
    if isinstance(node, tree.NamedTupleType):
        return f"namedtuple({','.join(fields)})"
    if isinstance(node, tree.DataclassType):
        return f"dataclass({','.join(sorted(fields))})"
    # In an array the order of fields is all that tells them apart.
    order = fields if node.array_like else sorted(fields)
    return (
        f"struct{'[]' if node.array_like else ''}({_constants([node.tag_field, node.tag])};{','.join(order)})"
    )


def _presence(node: Any, field: tree.Field) -> str:
    """What absence means, where a field may be absent in what is stored."""
    if isinstance(node, tree.TypedDictType):
        return "" if field.required else "?"
    if isinstance(node, tree.StructType) and class_of(node).__struct_config__.omit_defaults:  # type: ignore[attr-defined]
        made = field.default_factory is not msgspec.NODEFAULT
        return f"={_default(field.default_factory if made else field.default)}"
    return ""


def _default(default: Any) -> str:
    """A default as text, equal in every process; of what has no such text (a factory), its name."""
    try:
        return msgspec.json.encode(default, order="deterministic").decode()
    except (TypeError, ValueError, OverflowError):
        return _named(default if callable(default) else type(default))


def _constants(values: Iterable[Any]) -> str:
    return ",".join(sorted(f"{type(value).__name__}={value!a}" for value in values))


def _constraints(node: tree.Type) -> str:
    said = {name: getattr(node, name, None) for name in _CONSTRAINTS}
    shown = ",".join(f"{name}={value!a}" for name, value in said.items() if value is not None)
    return f"<{shown}>" if shown else ""


def _model(model: Any, inside: Inside) -> str:
    """The structure of a pydantic model: its fields and what they are annotated with."""
    if model in inside:
        return f"^{inside.index(model)}"
    fields = [
        f"{name!a}:{_annotated(field.annotation, (*inside, model))}"
        for name, field in model.model_fields.items()
    ]
    return f"model({','.join(sorted(fields))})"


def _annotated(annotation: Any, inside: Inside) -> str:
    """The structure of a field of a model, which may be of types that pydantic knows and msgspec does not."""
    try:
        return structure(tree.type_info(annotation), inside)
    except (TypeError, ValueError, NameError, RecursionError):
        origin, args = get_origin(annotation), get_args(annotation)
    parts = [_annotated(arg, inside) for arg in args]
    if origin is Union or origin is UnionType:
        return _union(parts)
    return f"{_named(origin or annotation)}({','.join(parts)})"


def _union(branches: Iterable[str]) -> str:
    return f"union({','.join(sorted(branches))})"


def _named(thing: Any) -> str:
    """A class or function by its path: never by its repr, which may hold an address."""
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__name__)}"
