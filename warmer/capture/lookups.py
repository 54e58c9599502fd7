"""Statements that read the rows which another is about to hit, or has hit.

Those by primary key are made once and kept, with what SQLAlchemy makes of them: to make one anew takes longer
than to run it. Where only a few columns are asked of many rows, the database counts those that look alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Column, Select, Table, Text, Update, and_, bindparam, cast, func, select, tuple_
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, BindParameter

from warmer.capture.tables import form_of
from warmer.core.changes import MOST_IMAGES

#: Rows that are read for one statement, and keys that are looked up at once.
MOST_ROWS, KEYS_AT_ONCE = 20_000, 500
#: Statements of several parameter sets that are not by key: so many sets are looked at.
MOST_SETS: Final = 50
#: Databases that can count rows while they lock them, and the collation there that tells all texts apart.
_EXACT: Final = {"postgresql": "C", "sqlite": "BINARY"}
#: Families of which equal values have one token: all but floats. Texts are told apart byte for byte.
_COUNTABLE, _TEXTS = frozenset("snbdtlupx"), frozenset("sp")

Key = tuple[Any, ...]
Statement = tuple[Select[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What to run. by_key: by primary key. counted: a last column says how many rows look like that."""

    statements: list[Statement]
    by_key: bool
    counted: bool


def lookup_of(
    clause: Any,
    table: Table,
    keys: Sequence[Column[Any]],
    columns: Sequence[Column[Any]],
    params: Sequence[Mapping[str, Any]],
    dialect: str,
) -> Lookup | None:
    """What reads and locks the rows that an UPDATE or DELETE will hit: these keys of them, and these columns.

    None: it has too many parameter sets.
    """
    lock = "update" if isinstance(clause, Update) else "delete"
    named = _keys_named(clause, table, params)
    if named is not None:
        return Lookup(by_key(table, (*keys, *columns), named, lock), by_key=True, counted=False)
    if len(params) > MOST_SETS:
        return None
    found = _locking(select(*keys, *columns).select_from(table), table, lock).limit(MOST_ROWS + 1)
    if clause.whereclause is not None:
        found = found.where(clause.whereclause)
    counted = not keys and dialect in _EXACT and all(form_of(one).family in _COUNTABLE for one in columns)
    if counted:
        found = _counting(found, columns, _EXACT[dialect])
    return Lookup([(found, given) for given in params], by_key=False, counted=counted)


def by_key(
    table: Table, columns: tuple[Column[Any], ...], keys: Sequence[Key], lock: str = ""
) -> list[Statement]:
    """Statements that read these columns of rows with these keys, locked as an "update" or "delete" will."""
    if len(keys) == 1:
        return [(_of_one(table, columns, lock), {f"key_{at}": value for at, value in enumerate(keys[0])})]
    many, alone = _of_many(table, columns, lock), len(table.primary_key.columns) == 1
    plain: Sequence[Any] = [key[0] for key in keys] if alone else keys
    return [(many, {"keys": plain[at : at + KEYS_AT_ONCE]}) for at in range(0, len(keys), KEYS_AT_ONCE)]


@lru_cache(maxsize=1000)
def _of_one(table: Table, columns: tuple[Column[Any], ...], lock: str) -> Select[Any]:
    pairs = enumerate(table.primary_key.columns)
    named = and_(*(column == bindparam(f"key_{at}", type_=column.type) for at, column in pairs))
    return _locking(select(*columns).select_from(table).where(named), table, lock)


@lru_cache(maxsize=1000)
def _of_many(table: Table, columns: tuple[Column[Any], ...], lock: str) -> Select[Any]:
    keys = list(table.primary_key.columns)
    key = keys[0] if len(keys) == 1 else tuple_(*keys)
    named = key.in_(bindparam("keys", expanding=True))
    return _locking(select(*columns).select_from(table).where(named), table, lock)


def _locking(found: Select[Any], table: Table, lock: str) -> Select[Any]:
    return found.with_for_update(of=table, key_share=lock == "update") if lock else found


def _counting(found: Select[Any], columns: Sequence[Column[Any]], collation: str) -> Select[Any]:
    """The rows that a statement finds, each way that they look once, and how many look like it.

    What is cut off at the end is more than is told of: the whole table is named then.
    """
    rows = found.subquery()
    seen = [rows.columns[column.key] for column in columns]
    texts = [
        cast(one, Text).collate(collation)
        for one, column in zip(seen, columns, strict=True)
        if form_of(column).family in _TEXTS
    ]
    return select(*seen, func.count()).group_by(*seen, *texts).limit(MOST_IMAGES + 1)


def _keys_named(clause: Any, table: Table, params: Sequence[Mapping[str, Any]]) -> list[Key] | None:
    """The primary keys that a statement of the ORM's names, one of each parameter set."""
    binds: dict[Any, str] = {}
    for criterion in clause._where_criteria:
        for part in getattr(criterion, "clauses", (criterion,)):
            if not isinstance(part, BinaryExpression) or part.operator is not operators.eq:
                return None
            column, bind = part.left, part.right
            if isinstance(column, Column) and isinstance(bind, BindParameter):
                binds[column] = bind.key
    wanted = list(table.primary_key.columns)
    if not wanted or not all(column in binds for column in wanted):
        return None
    names = [binds[column] for column in wanted]
    if not all(name in given for given in params for name in names):
        return None
    return [tuple(given[name] for name in names) for given in params]


__all__ = ["KEYS_AT_ONCE", "MOST_ROWS", "MOST_SETS", "Lookup", "by_key", "lookup_of"]
