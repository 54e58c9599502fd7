"""Whether a value is what its annotation says, to the exact type.

msgspec encodes by the value, not by the annotation: a str where a Decimal is annotated, a tuple for a list,
a datetime for a date all encode alike and come back as something else. So that the reader who loaded and
the readers who hit get the same, every value must be exactly of its annotated type: a subclass would come
back as its base (a defaultdict as a dict). Two things are let through, since they come back equal and behave
alike: an int for a float (up to where floats hold every int), and a subclass of UUID (drivers have theirs).

Values are checked by column, not one by one: all items of a list at once, then all their first fields, and
so on, so that the work per value is done by `set(map(type, column))`. Messages show types and never values,
which may be private.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

import msgspec
from msgspec import inspect as tree

from warmer.core.leaves import (
    Fit,
    Misfit,
    fit_exact,
    fit_float,
    fit_literal,
    fit_model,
    fit_plain,
    fit_time,
    listed,
    misfit,
    name_of,
    require,
)
from warmer.core.shapes import COLLECTIONS, class_of, is_plain, unwrap

_EXACT: dict[type[tree.Type], type] = {
    tree.NoneType: type(None),
    tree.BoolType: bool,
    tree.IntType: int,
    tree.FloatType: float,
    tree.StrType: str,
    tree.BytesType: bytes,
    tree.ByteArrayType: bytearray,
    tree.DateTimeType: datetime,
    tree.DateType: date,
    tree.TimeType: time,
    tree.TimeDeltaType: timedelta,
    tree.DecimalType: Decimal,
    tree.UUIDType: UUID,
    tree.ListType: list,
    tree.SetType: set,
    tree.FrozenSetType: frozenset,
    tree.VarTupleType: tuple,
    tree.TupleType: tuple,
    tree.DictType: dict,
    tree.TypedDictType: dict,
}


def fit_for(shape: tree.Type) -> Fit:
    """The check of a whole value: call it with `[value]` and the value's name. Raises Misfit."""
    return _Builder().fit(shape)


class _Builder:
    """Makes the checks of a tree, one for each node; a recursive type's node refers to its own."""

    def __init__(self) -> None:
        self._made: dict[int, Fit] = {}

    def fit(self, node: tree.Type) -> Fit:
        node = unwrap(node)
        known = self._made.get(id(node))
        if known is not None:
            return known
        self._made[id(node)] = lambda values, place: made(values, place)
        made = self._make(node)
        self._made[id(node)] = made
        return made

    def _make(self, node: tree.Type) -> Fit:
        if is_plain(node):
            return fit_plain
        if isinstance(node, tree.FloatType):
            return fit_float
        if isinstance(node, tree.TimeType):
            return fit_time
        if isinstance(node, tree.LiteralType):
            return fit_literal(node.values)
        if isinstance(node, tree.UnionType):
            return self._union(node)
        if isinstance(node, tree.TypedDictType):
            return self._typed_dict(node)
        if isinstance(node, (tree.DataclassType, tree.StructType, tree.NamedTupleType)):
            return self._record(node)
        if isinstance(node, tree.DictType):
            return self._dict(node)
        if isinstance(node, tree.TupleType):
            return self._tuple(node)
        if isinstance(node, COLLECTIONS):
            return self._collection(node)
        if isinstance(node, tree.CustomType):
            return fit_model(class_of(node))
        return fit_exact(kind_of(node))

    def _collection(self, node: Any) -> Fit:
        kind, item = kind_of(node), self.fit(node.item_type)

        def fit(values: Sequence[Any], place: str) -> None:
            require(values, kind, place)
            if items := list(chain.from_iterable(values)):
                item(items, f"an item of {place}")

        return fit

    def _dict(self, node: tree.DictType) -> Fit:
        key, value = self.fit(node.key_type), self.fit(node.value_type)

        def fit(values: Sequence[Any], place: str) -> None:
            require(values, dict, place)
            if keys := list(chain.from_iterable(values)):
                key(keys, f"a key of {place}")
                value(list(chain.from_iterable(map(dict.values, values))), f"a value of {place}")

        return fit

    def _tuple(self, node: tree.TupleType) -> Fit:
        items = [(itemgetter(at), self.fit(item)) for at, item in enumerate(node.item_types)]

        def fit(values: Sequence[Any], place: str) -> None:
            require(values, tuple, place)
            lengths = set(map(len, values))
            if others := lengths - {len(items)}:
                raise Misfit(f"{place} should be a tuple of {len(items)}, got one of {max(others)}")
            for at, (get, item) in enumerate(items):
                item(list(map(get, values)), f"item {at} of {place}")

        return fit

    def _record(self, node: Any) -> Fit:
        kind = class_of(node)
        fields = [
            (
                attrgetter(field.name),
                self.fit(field.type),
                f"{name_of(kind)}.{field.name}",
                _may_be_unset(field),
            )
            for field in node.fields
        ]

        def fit(values: Sequence[Any], place: str) -> None:
            require(values, kind, place)
            for get, field, name, may_be_unset in fields:
                try:
                    column = list(map(get, values))
                except AttributeError as missing:
                    raise Misfit(f"{name} has no value") from missing
                if may_be_unset:
                    column = [value for value in column if value is not msgspec.UNSET]
                if column:
                    field(column, name)

        return fit

    def _typed_dict(self, node: tree.TypedDictType) -> Fit:
        name = class_of(node).__name__
        fields = [(field.name, self.fit(field.type)) for field in node.fields]
        known = frozenset(field.name for field in node.fields)
        required = frozenset(field.name for field in node.fields if field.required)

        def fit(values: Sequence[Any], place: str) -> None:
            require(values, dict, place)
            for keys in set(map(frozenset, values)):
                if not required <= keys:
                    raise Misfit(f"{place} lacks {listed(required - keys)} of {name}")
                if not keys <= known:
                    raise Misfit(f"{place} has {listed(keys - known)}, which {name} has not")
            for key, field in fields:
                if column := [value[key] for value in values if key in value]:
                    field(column, f"{name}[{key!r}]")

        return fit

    def _union(self, node: tree.UnionType) -> Fit:
        branches: dict[type, Fit] = {}
        literals: list[Any] = []
        for branch in map(unwrap, node.types):
            if isinstance(branch, tree.LiteralType):
                literals.extend(branch.values)
            else:
                branches[kind_of(branch)] = self.fit(branch)
        if literals:
            branches.update(dict.fromkeys(map(type, literals), fit_literal(literals)))
        names = " | ".join(name_of(kind) for kind in branches)
        if float in branches:
            branches.setdefault(int, branches[float])

        def fit(values: Sequence[Any], place: str) -> None:
            by_branch: dict[Fit, set[type]] = {}
            for kind in set(map(type, values)):
                branch = branches.get(UUID if issubclass(kind, UUID) else kind)
                if branch is None:
                    raise misfit(values, {*branches}, names, place)
                by_branch.setdefault(branch, set()).add(kind)
            for branch, kinds in by_branch.items():
                if kinds != {type(None)}:
                    branch([value for value in values if type(value) in kinds], place)

        return fit


def kind_of(node: tree.Type) -> type:
    """The exact class that the values of a node are of (for a union or a literal: see their checks)."""
    return _EXACT.get(type(node)) or class_of(node)


def _may_be_unset(field: tree.Field) -> bool:
    # msgspec shows a default of UNSET as "optional, but without default".
    return not field.required and field.default is field.default_factory is msgspec.NODEFAULT
