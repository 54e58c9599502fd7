"""Tables and columns of SQLAlchemy: which a dependency means, and in what form their values are compared.

Params and rows are bound through the column's type, as a statement's parameters are, and meet in what the
database is given: a `TypeDecorator`'s own form, an Enum's stored text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Dialect, ForeignKey, Table, inspect, types
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.exc import NoInspectionAvailable

from warmer.core.columns import families_of, token_as
from warmer.core.params import ParamType
from warmer.core.params.choices import EnumParam
from warmer.core.params.plain import DecimalParam
from warmer.dependencies import Match, Shape
from warmer.errors import InvalidOption, did_you_mean, show
from warmer.errors.root import hint

_DIALECT = DefaultDialect()
_FORMS: tuple[tuple[type[types.TypeEngine[Any]], str], ...] = (
    (types.CHAR, "p"), (types.NCHAR, "p"), (types.Enum, "s"), (types.String, "s"), (types.Boolean, "b"),
    (types.Integer, "n"), (types.Float, "f"), (types.Numeric, "n"), (types.Date, "d"),
    (types.Uuid, "u"), (types.LargeBinary, "x"),
)  # fmt: skip
#: Under these, equal is what is the same byte for byte.
_BYTEWISE = frozenset({"binary", "c", "posix", "ucs_basic", "default", "c.utf-8", "c.utf8", "pg_c_utf8"})
#: What a param of one family may stand for in a column of another.
_ALSO = {("n", "f"), ("s", "p"), ("s", "u"), ("p", "s")}

MakeShape = Callable[[str, Mapping[str, ParamType], str, Any, Callable[[str, str, ParamType], Match]], Shape]


class ColumnForm:
    """How values of a column are compared. family: see warmer/core/columns.py; "" where they can't be."""

    __slots__ = ("_binders", "family", "reason")

    def __init__(self, column: Column[Any]) -> None:
        self.reason = ""
        self._binders: list[Callable[[Any, Dialect], Any]] = []
        plain: types.TypeEngine[Any] = column.type
        while isinstance(plain, types.TypeDecorator):
            if _writes_sql(plain, types.TypeDecorator):
                self.reason = "its type writes SQL around its values"
            self._binders.append(plain.process_bind_param)
            plain = plain.impl_instance
        if isinstance(plain, types.Enum):
            stored = plain.bind_processor(_DIALECT)  # type: ignore[no-untyped-call]  # SQLAlchemy's own
            self._binders.append(lambda value, _: stored(value))
        self.family = self._family(plain)
        collation = getattr(plain, "collation", None)
        if collation is not None and collation.lower() not in _BYTEWISE:
            self.reason = f"its collation {collation!r} may find unequal texts equal"
        if not self.family and not self.reason:
            self.reason = f"values of its type, {plain!r}, have no common form with params"
        if self.reason:
            self.family = ""

    @staticmethod
    def _family(plain: types.TypeEngine[Any]) -> str:
        if _writes_sql(plain, types.TypeEngine):
            return ""
        if isinstance(plain, types.DateTime):
            return "t" if plain.timezone else "l"
        if type(plain).__name__.upper() == "CITEXT":
            return ""
        return next((family for kind, family in _FORMS if isinstance(plain, kind)), "")

    def token(self, value: Any) -> str | None:
        """The token of a value as Python has it; None for one that can't be compared."""
        if value is None:
            return "~"
        try:
            for bind in self._binders:
                value = bind(value, _DIALECT)
        except (LookupError, ValueError, TypeError, AttributeError):
            return None  # of another type than the column's: no row has it, or the database would convert it
        return token_as(value, self.family) if self.family else None


@lru_cache(maxsize=10_000)
def form_of(column: Column[Any]) -> ColumnForm:
    """The form of a column's values; made once."""
    return ColumnForm(column)


def shapes_of(
    query: str, kinds: Mapping[str, ParamType], table: Any, columns: Any, make: MakeShape
) -> list[tuple[str, Shape]]:
    """The tables that a mapped class or a Table stands for, each with the columns of it that are named.

    A class that inherits has several tables: one that has none of the columns is depended on as a whole.
    Raises InvalidOption for a column that is not there, or whose values can't be compared with the param's.
    """
    tables = tables_of(table)
    if tables is None:
        raise InvalidOption(query, "depends_on", show(table), "a mapped class or a Table")
    found: dict[str, Column[Any]] = {}

    def match(column: str, param: str, kind: ParamType) -> Match:
        at = _column(table, tables, column)
        found[column] = at
        return _match(at, param, kind)

    shape = make(query, kinds, tables[-1].fullname, columns, match)
    return [
        (one.fullname, {found[name].name: m for name, m in shape.items() if found[name].table is one})
        for one in tables
    ]


def tables_of(what: Any) -> list[Table] | None:
    """The tables of a mapped class or of a Table; None for anything else."""
    if isinstance(what, Table):
        return [what]
    try:
        mapper = inspect(what)
    except NoInspectionAvailable:
        return None
    tables = getattr(mapper, "tables", None)
    return [one for one in tables if isinstance(one, Table)] if tables else None


def _column(what: Any, tables: list[Table], name: str) -> Column[Any]:
    """The column of an attribute's or a column's name. Raises ValueError."""
    attributes = {} if isinstance(what, Table) else dict(inspect(what).column_attrs.items())
    if name in attributes:
        column = attributes[name].columns[-1]
        if isinstance(column, Column):
            return column
    for table in reversed(tables):
        found: Column[Any] | None = table.c.get(name)
        if found is not None:
            return found
    known = {name for table in tables for name in table.c.keys()} | set(attributes)  # noqa: SIM118
    meant = hint(did_you_mean(name, known), known).rstrip(".")
    raise ValueError(f"the value of a column of the table ({meant})")


def _match(column: Column[Any], param: str, kind: ParamType) -> Match:
    form = form_of(column)
    if not form.family:
        raise ValueError(
            f"the value of a column that can be compared; {column.name} can't: {form.reason}. "
            "Write {Table: ()} for any row"
        )
    if not _comparable(column, form, kind):
        raise ValueError(
            f"of the type of the column {column.name}, {column.type!r}: equal values must look alike. Change "
            "the annotation, or write {Table: ()} for any row"
        )
    return Match(param, form.family, form.token)


def _comparable(column: Column[Any], form: ColumnForm, kind: ParamType) -> bool:
    plain = column.type
    if isinstance(plain, types.TypeDecorator):
        return True  # what it accepts is its own business; what it can't bind is compared with no row
    inner = getattr(kind, "inner", kind)
    if isinstance(inner, EnumParam) and isinstance(plain, types.Enum):
        return plain.enum_class is inner.cls
    if isinstance(plain, types.Enum) and plain.enum_class is not None:
        return False
    families = families_of(kind)
    if form.family == "f" and isinstance(inner, DecimalParam):
        return False  # 0.1 as a float is no tenth
    return bool(families) and all(
        f == form.family or (f, form.family) in _ALSO or (f in "lt" and form.family in "lt") for f in families
    )


def _writes_sql(kind: types.TypeEngine[Any], root: type[Any]) -> bool:
    return type(kind).bind_expression is not root.bind_expression


def children_of(table: Table) -> tuple[Table, ...]:
    """Tables whose rows the database itself changes when rows of this one go, or change their key."""
    return _children(table, len(table.metadata.tables))


@lru_cache(maxsize=1000)
def _children(table: Table, _: int) -> tuple[Table, ...]:
    found, todo = dict[Table, None](), [table]
    while todo:
        parent = todo.pop()
        for child in parent.metadata.tables.values():
            if child not in found and any(_follows(key, parent) for key in child.foreign_keys):
                found[child] = None
                todo.append(child)
    return tuple(found)


def _follows(key: ForeignKey, parent: Table) -> bool:
    acts = {(key.ondelete or "").upper(), (key.onupdate or "").upper()}
    mine = key.target_fullname.rpartition(".")[0] == parent.fullname
    return mine and bool(acts & {"CASCADE", "SET NULL", "SET DEFAULT"})
