"""What a statement reads: its tables, and which columns equal one parameter in all rows read of each.

An equality counts where every row must satisfy it: a conjunct of WHERE, or of the ON of a join that drops
the rows that do not (both sides of an inner join, the right side of a left one, none of a full one). Whatever
else it says (OR, ranges, IN, functions) narrows nothing: any row of the table counts. Equal columns pass
their parameter on, so the far side of a join is known by the near side's. What is not understood is read
whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ColumnClause,
    Grouping,
    TextClause,
)
from sqlalchemy.sql.selectable import (
    AliasedReturnsRows,
    FromClause,
    FromGrouping,
    Join,
    Select,
    TableClause,
    TextualSelect,
)

_READS = re.compile(r"\b(select|from|table|with|call|exec|execute)\b", re.IGNORECASE)
_Column = tuple[FromClause, str]
_NOWHERE: frozenset[FromClause] = frozenset()


@dataclass(frozen=True, slots=True)
class BoundRead:
    """A table as a statement reads it. equal: columns, each with the key of the parameter that it equals."""

    table: TableClause
    equal: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StatementReads:
    """What a statement reads. unknown: a part of it is text, which may read anything."""

    reads: tuple[BoundRead, ...]
    unknown: bool


@dataclass(frozen=True, slots=True)
class _Equality:
    """Two columns, or a column and a parameter's key, that are equal in every row of the sources `of`."""

    left: _Column
    right: _Column | str
    of: frozenset[FromClause]


def read_statement(statement: Any) -> StatementReads:
    """What a statement of SQLAlchemy reads, whatever it is. Executes nothing."""
    walk = _Walk()
    walk.take(statement)
    return StatementReads(tuple(dict.fromkeys(walk.reads)), walk.unknown)


def text_reads(text: str) -> bool:
    """Whether SQL that is only text may read a table."""
    return bool(_READS.search(text))


class _Walk:
    """Over one statement, with its subqueries and CTEs."""

    def __init__(self) -> None:
        self.reads: list[BoundRead] = []
        self.unknown = False
        self._todo: list[tuple[Any, frozenset[FromClause]]] = []

    def take(self, statement: Any) -> None:
        """Everything that is in a statement."""
        seen: dict[tuple[int, frozenset[FromClause]], Any] = {}  # its values keep what the ids stand for
        self._todo.append((statement, _NOWHERE))
        while self._todo:
            element, around = self._todo.pop()
            if (id(element), around) not in seen:
                seen[id(element), around] = element
                self._element(element, around)

    def _element(self, element: Any, around: frozenset[FromClause]) -> None:
        """around: the sources of the SELECT that this is an expression of, which it may correlate with."""
        if isinstance(element, Select):
            self._select(element, around)
        elif isinstance(element, TableClause):
            self._read(element, ())
        elif isinstance(element, FromClause) and not isinstance(element, TextualSelect):
            self._todo += [(child, _NOWHERE) for child in element.get_children()]
        else:
            self.unknown = self.unknown or _is_text(element)
            self._todo += [(child, around) for child in element.get_children()]

    def _select(self, select: Select[Any], around: frozenset[FromClause]) -> None:
        froms = [one for one in select.get_final_froms() if not _correlates(select, one, around)]
        leaves = frozenset(leaf for one in froms for leaf in _leaves(one))
        equalities = list(_equalities(select.whereclause, leaves))
        for one in froms:
            equalities += _of_joins(one)
        bound = _bound(equalities)
        for leaf in leaves:
            table = leaf.element if isinstance(leaf, AliasedReturnsRows) else leaf
            if isinstance(table, TableClause):
                self._read(table, ((column, key) for (of, column), key in bound.items() if of == leaf))
            else:
                self._todo.append((leaf, _NOWHERE))
        for child in (*select.get_children(), *_conditions(froms)):
            if not isinstance(child, FromClause):
                self._todo.append((child, leaves))
            elif not leaves.issuperset(_leaves(child)) and not around.issuperset(_leaves(child)):
                self._todo.append((child, _NOWHERE))

    def _read(self, table: TableClause, equal: Iterable[tuple[str, str]]) -> None:
        deannotate = getattr(table, "_deannotate", None)
        plain = deannotate() if deannotate else table
        self.reads.append(BoundRead(plain, tuple(sorted(equal))))


def _correlates(select: Select[Any], source: FromClause, around: frozenset[FromClause]) -> bool:
    """Whether a subquery means a row of the SELECT around it. Rather not: then it is read twice."""
    if source not in around:
        return False
    named, excepted = getattr(select, "_correlate", None), getattr(select, "_correlate_except", None)
    if named:
        return source in named
    if excepted is not None:
        return source not in excepted
    return getattr(select, "_auto_correlate", False) and len(select.get_final_froms()) > 1


def _is_text(element: Any) -> bool:
    if isinstance(element, TextClause):
        return text_reads(element.text)
    return isinstance(element, ColumnClause) and element.is_literal and text_reads(str(element.name))


def _leaves(source: FromClause) -> Iterator[FromClause]:
    """The sources that a join is made of; a source itself."""
    if isinstance(source, Join):
        yield from _leaves(source.left)
        yield from _leaves(source.right)
    elif isinstance(source, FromGrouping):
        yield from _leaves(source.element)
    else:
        yield source


def _joins(source: FromClause) -> Iterator[Join]:
    if isinstance(source, FromGrouping):
        yield from _joins(source.element)
    elif isinstance(source, Join):
        yield source
        yield from _joins(source.left)
        yield from _joins(source.right)


def _conditions(froms: Iterable[FromClause]) -> Iterator[Any]:
    return (join.onclause for one in froms for join in _joins(one) if join.onclause is not None)


def _of_joins(source: FromClause) -> Iterator[_Equality]:
    for join in _joins(source):
        if not join.full:
            right = frozenset(_leaves(join.right))
            # A row of the left side of an outer join is in the result whatever ON says of it.
            yield from _equalities(join.onclause, right if join.isouter else right.union(_leaves(join.left)))


def _equalities(condition: Any, of: frozenset[FromClause]) -> Iterator[_Equality]:
    """The equalities that a condition is a conjunction of."""
    if isinstance(condition, Grouping):
        yield from _equalities(condition.element, of)
    elif isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        for conjunct in condition.clauses:
            yield from _equalities(conjunct, of)
    elif isinstance(condition, BinaryExpression) and condition.operator is operators.eq:
        for one, other in ((condition.left, condition.right), (condition.right, condition.left)):
            column, value = _column(one), _column(other) or _parameter(other)
            if column is not None and value is not None:
                yield _Equality(column, value, of)


def _column(side: Any) -> _Column | None:
    if isinstance(side, ColumnClause) and not side.is_literal and isinstance(side.table, FromClause):
        return side.table, str(side.name)
    return None


def _parameter(side: Any) -> str | None:
    return str(side.key) if isinstance(side, BindParameter) and not side.expanding else None


def _bound(equalities: list[_Equality]) -> dict[_Column, str]:
    """Columns with the parameter that they equal in all rows read, followed until nothing new is found."""
    bound: dict[_Column, str] = {}
    found = True
    while found:
        found = False
        for equality in equalities:
            value = equality.right if isinstance(equality.right, str) else bound.get(equality.right)
            if value is not None and equality.left not in bound and equality.left[0] in equality.of:
                bound[equality.left] = value
                found = True
    return bound
