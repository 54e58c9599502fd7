"""What PostgreSQL's catalog says of the tables to be watched, with their partitions and heirs.

A statement fires the triggers of the table that it names, and of no other. So each partition has its own,
which say the names of the tables above it, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from warmer.outbox.rows import PLAIN_SQL
from warmer.outbox.schema import outbox
from warmer.triggers.tables import Column, Wanted, Watched

#: By the name of the type, under its domains. Of a `real`, no two readers have the same number.
_KINDS: Final = {
    "text": "s", "varchar": "s", "bpchar": "p", "int2": "n", "int4": "n", "int8": "n", "numeric": "n",
    "float8": "f", "bool": "b", "date": "d", "timestamp": "l", "timestamptz": "t", "uuid": "u", "bytea": "x",
}  # fmt: skip
_TABLES: Final = """\
SELECT c.oid, n.nspname, c.relname, pg_table_is_visible(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""
_COLUMNS: Final = """\
WITH RECURSIVE plain(oid, typname, typtype, typbasetype, of) AS (
  SELECT oid, typname, typtype, typbasetype, oid FROM pg_type
  UNION ALL
  SELECT t.oid, t.typname, t.typtype, t.typbasetype, p.of FROM plain p JOIN pg_type t ON t.oid = p.typbasetype
  WHERE p.typtype = 'd')
SELECT a.attname, p.typname, p.typtype, coalesce(l.collisdeterministic, true)
FROM pg_attribute a
JOIN plain p ON p.of = a.atttypid AND p.typtype <> 'd'
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped"""


@dataclass(frozen=True, slots=True)
class _Table:
    oid: int
    schema: str
    name: str
    visible: bool


def home(connection: Connection) -> str | None:
    """The schema of the outbox; None if there is none."""
    found = _rows(connection, _TABLES)
    return next((row[1] for row in found if row[2] == outbox.name and row[3]), None)


def watched(connection: Connection, wanted: Wanted) -> tuple[list[Watched], list[str]]:
    """What is to be watched here, and the names that no table of this database has."""
    tables = [_Table(*row) for row in _rows(connection, _TABLES)]
    below: dict[int, set[int]] = {}
    for child, parent in _rows(connection, "SELECT inhrelid, inhparent FROM pg_inherits"):
        below.setdefault(parent, set()).add(child)
    names: dict[int, set[str]] = {}
    missing = []
    for name in wanted:
        found = _named(tables, name)
        if found is None:
            missing.append(name)
            continue
        for oid in _with_heirs(found.oid, below):
            names.setdefault(oid, set()).add(name)
    by_oid = {table.oid: table for table in tables}
    each = [_watched(connection, by_oid[oid], some, wanted) for oid, some in names.items() if oid in by_oid]
    return sorted(each, key=lambda one: (one.schema, one.table)), missing


def _watched(connection: Connection, table: _Table, names: Iterable[str], wanted: Wanted) -> Watched:
    told = tuple(sorted(names))
    columns = _columns({name for one in told for name in wanted[one]}, _kinds(connection, table.oid))
    return Watched(table.schema, table.name, told, columns)


def _columns(names: set[str], kinds: Mapping[str, str]) -> tuple[Column, ...] | None:
    """None if one of them can't be told: then no row can be."""
    if not names or not all(kinds.get(name) for name in names):
        return None
    return tuple(Column(name, kinds[name]) for name in sorted(names))


def _kinds(connection: Connection, oid: int) -> dict[str, str]:
    found = {}
    for name, kind, sort, bytewise in _rows(connection, _COLUMNS.format(oid=oid)):
        found[name] = "" if not bytewise else "s" if sort == "e" else _KINDS.get(kind, "")
    return found


def _named(tables: Iterable[_Table], name: str) -> _Table | None:
    """The table that a dependency means: one on the search path, else one of the schema that it says."""
    seen = [table for table in tables if table.name == name and table.visible]
    said = [table for table in tables if f"{table.schema}.{table.name}" == name]
    return next(iter(seen + said), None)


def _with_heirs(oid: int, below: Mapping[int, set[int]]) -> set[int]:
    found, todo = set[int](), [oid]
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo += below.get(one, ())
    return found


def _rows(connection: Connection, statement: str) -> list[Any]:
    return list(connection.exec_driver_sql(statement, execution_options=PLAIN_SQL))


__all__ = ["home", "watched"]
