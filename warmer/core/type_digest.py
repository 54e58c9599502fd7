"""A short digest of a type's structure: the version of a query that has not been given one.

Two processes whose annotation has the same fields of the same types agree on it, whatever the hash seed, the
Python version, the defaults, the names of the classes, or the order of a union; one field added, renamed or
retyped changes it, so that old and new processes keep their entries apart.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, get_args, get_origin

import msgspec
from msgspec import inspect as tree

from warmer.core.shapes import class_of, describe, is_model, is_plain, unwrap

#: Bytes of the digest. It only has to tell apart the versions of one query.
DIGEST_BYTES = 5
_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")
_LEAVES: dict[type[tree.Type], str] = {
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
    tree.DictType: "dict",
}


def type_digest(shape: tree.Type) -> str:
    """10 hex digits of the structure below `shape` (see `structure`)."""
    return blake2b(structure(shape).encode(), digest_size=DIGEST_BYTES).hexdigest()


def structure(node: tree.Type, inside: tuple[int, ...] = ()) -> str:
    """The canonical text of a type's structure; a recursive type refers to itself by its depth.

    inside: the nodes that this one is in, outermost first.
    """
    node = unwrap(node)
    if id(node) in inside:
        return f"^{inside.index(id(node))}"
    below = (*inside, id(node))
    if is_plain(node):
        return "any"
    if isinstance(node, tree.UnionType):
        return f"union({','.join(sorted(structure(branch, below) for branch in node.types))})"
    if isinstance(node, tree.LiteralType):
        return f"literal({_constants(node.values)})"
    if isinstance(node, tree.EnumType):
        return f"enum({_constants(member.value for member in node.cls)})"
    if isinstance(node, tree.TupleType):
        return f"tuple({','.join(structure(item, below) for item in node.item_types)})"
    if isinstance(node, (tree.DataclassType, tree.StructType, tree.TypedDictType, tree.NamedTupleType)):
        return _record(node, below)
    if isinstance(node, tree.DictType):
        return (
            f"dict{_constraints(node)}({structure(node.key_type, below)},{structure(node.value_type, below)})"
        )
    if isinstance(node, tree.CustomType):
        return _model(class_of(node), ()) if is_model(node) else f"custom({describe(node.cls)})"
    inner = f"({structure(node.item_type, below)})" if isinstance(node, tree.CollectionType) else ""
    return f"{_LEAVES[type(node)]}{_constraints(node)}{inner}"


def _record(node: Any, below: tuple[int, ...]) -> str:
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
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory
        return f"={describe(default) if callable(default) else default!a}"
    return ""


def _constants(values: Any) -> str:
    return ",".join(sorted(f"{type(value).__name__}={value!a}" for value in values))


def _constraints(node: tree.Type) -> str:
    said = {name: getattr(node, name, None) for name in _CONSTRAINTS}
    shown = ",".join(f"{name}={value!a}" for name, value in said.items() if value is not None)
    return f"<{shown}>" if shown else ""


def _model(annotation: Any, inside: tuple[object, ...]) -> str:
    """The structure of a pydantic model, by its fields' annotations; other classes by qualified name."""
    if annotation in inside:
        return f"^{inside.index(annotation)}"
    below = (*inside, annotation)
    fields = getattr(annotation, "model_fields", None)
    if isinstance(annotation, type) and isinstance(fields, dict):
        said = [f"{name!a}:{_model(field.annotation, below)}" for name, field in fields.items()]
        return f"model({','.join(sorted(said))})"
    if isinstance(annotation, str | int | bytes | None):  # an argument of a Literal
        return f"{annotation!a}"
    args = [_model(arg, below) for arg in get_args(annotation)]
    origin = get_origin(annotation) or annotation
    name = f"{getattr(origin, '__module__', '')}.{getattr(origin, '__qualname__', None) or str(origin)}"
    if name in {"typing.Union", "types.UnionType"}:
        return f"union({','.join(sorted(args))})"
    return f"{name}({','.join(args)})" if args else name
