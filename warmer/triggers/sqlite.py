"""Triggers of SQLite: called for each row, they say it as it was and as it is.

What REPLACE takes away fires no trigger of its own, so a row is said before another takes its place, too
(by the columns of a key; a unique index on nothing but expressions is passed over). What capture has told by
itself is marked in a table, for as long as its statement runs: see covering.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from warmer.core.raws import LONGEST_RAW
from warmer.outbox.rows import PLAIN_SQL
from warmer.outbox.schema import outbox
from warmer.triggers.quoting import quoted, text
from warmer.triggers.tables import (
    PREFIX,
    Column,
    Installed,
    Plan,
    Wanted,
    Watched,
    about,
    digest_of,
    mark_of,
    raw_changes,
    read_about,
    stem_of,
    whole_changes,
)

#: Marks of what capture tells by itself, while its statement runs. last: the newest row of the outbox then.
COVERED: Final = "warmer_covered"
MAKE_COVERED: Final = (
    f"CREATE TABLE IF NOT EXISTS {COVERED} (mark TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID"
)
#: A mark that has outlived its transaction is void: that one has left a row in the outbox.
LAST: Final = f"(SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = '{outbox.name}')"
_COLLATES: Final = re.compile(r"\bcollate\s+(?![\"'`\[]?binary\b)", re.IGNORECASE)
ASK: Final = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
_SAID: Final = re.compile(r"/\* (\{\"warmer\": 1,.*?\}) \*/", re.DOTALL)
_COUNT: Final = re.compile(r"/\* of (\d+) \*/")


def plan(namespace: str, home: str, watched: Watched, notify: bool) -> Plan:
    """home and notify mean nothing here."""
    stem = stem_of(namespace, watched.schema, watched.table)
    bodies = [(event, _says(namespace, watched, event)) for event in ("INSERT", "UPDATE", "DELETE")]
    bodies += [
        (event, _replaces(namespace, watched, event)) for event in ("INSERT", "UPDATE") if watched.keys
    ]
    made, drops = [], []
    for at, (event, body) in enumerate(bodies):
        when, name = ("AFTER", event) if at < 3 else ("BEFORE", f"replacing_{event}")
        name = f"{stem}_{name.lower()}"
        head = f"CREATE TRIGGER {quoted(name)} {when} {event} ON {quoted(watched.table)}\n"
        made.append(
            f"{head}WHEN {_uncovered(namespace, watched)}\nBEGIN /* of {len(bodies)} */\n{body};\nEND"
        )
        drops.append(f"DROP TRIGGER IF EXISTS {quoted(name)}")
    digest = digest_of(made)
    said = about(namespace, watched, digest)
    made = [one.replace("BEGIN /*", f"BEGIN /* {said} */\n/*", 1) for one in made]
    return Plan(watched, stem, digest, (MAKE_COVERED, *drops, *made), tuple(drops))


def read(rows: Iterable[Sequence[Any]]) -> list[Installed]:
    """Every table with triggers of ours, of all namespaces, from what `ASK` gave."""
    found: dict[tuple[str, str], list[tuple[str, str, int]]] = {}
    for name, table, sql in rows:
        said = _SAID.search(sql)
        count = _COUNT.search(sql)
        if said and count and name.startswith(PREFIX):
            found.setdefault((table, said[1]), []).append((name, sql, int(count[1])))
    each = []
    for (table, comment), some in sorted(found.items()):
        namespace, names, digest = read_about(comment) or ("", (), "")
        drops = tuple(f"DROP TRIGGER IF EXISTS {quoted(name)}" for name, _, _ in some)
        whole = len(some) == some[0][2]
        each.append(Installed("", table, namespace, names, digest, whole, drops))
    return each


def strangers(rows: Iterable[Sequence[Any]]) -> bool:
    """Whether there are triggers that are not ours."""
    return any(not (name.startswith(PREFIX) and _SAID.search(sql)) for name, _, sql in rows)


def watched(connection: Connection, wanted: Wanted) -> tuple[list[Watched], list[str]]:
    """What is to be watched here, and the names that no table of this database has."""
    listed = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    tables = {
        name.lower(): (name, sql)
        for name, sql in connection.exec_driver_sql(listed, execution_options=PLAIN_SQL)
    }
    utf8 = connection.exec_driver_sql("PRAGMA encoding", execution_options=PLAIN_SQL).scalar() == "UTF-8"
    names: dict[str, list[str]] = {}
    missing = []
    for name in wanted:
        found = next(
            (said for said in (name.lower(), name.lower().removeprefix("main.")) if said in tables), None
        )
        if found is None:
            missing.append(name)
        else:
            names.setdefault(found, []).append(name)
    each = []
    for found, told in sorted(names.items()):
        table, sql = tables[found]
        columns = {column for name in told for column in wanted[name]}
        tellable = utf8 and not _COLLATES.search(sql)
        each.append(_watched(connection, table, tuple(told), columns, tellable))
    return each, missing


def _watched(
    connection: Connection, table: str, names: tuple[str, ...], columns: set[str], tellable: bool
) -> Watched:
    info = connection.exec_driver_sql(
        f"PRAGMA table_xinfo({quoted(table)})", execution_options=PLAIN_SQL
    ).all()
    there = {row[1] for row in info}
    told = (
        tuple(Column(name) for name in sorted(columns)) if columns and tellable and columns <= there else None
    )
    keys = [tuple((row[1], "BINARY") for row in sorted(info, key=lambda row: row[5]) if row[5])]
    keys += _unique(connection, table)
    return Watched("", table, names, told, tuple(dict.fromkeys(key for key in keys if key)))


def _unique(connection: Connection, table: str) -> list[tuple[tuple[str, str], ...]]:
    """The unique indexes, each column with its collation; of an expression, what is around it."""
    found = []
    listed = f"PRAGMA index_list({quoted(table)})"
    for row in connection.exec_driver_sql(listed, execution_options=PLAIN_SQL).all():
        if row[2]:
            asked = f"PRAGMA index_xinfo({quoted(row[1])})"
            columns = connection.exec_driver_sql(asked, execution_options=PLAIN_SQL).all()
            found.append(tuple((one[2], one[4]) for one in columns if one[5] and one[2] is not None))
    return found


def _uncovered(namespace: str, watched: Watched) -> str:
    marks = ", ".join(text(mark_of(namespace, name)) for name in watched.names)
    counted = f"SELECT count(*) FROM {COVERED} WHERE mark IN ({marks}) AND last = {LAST}"
    return f"({counted}) < {len(watched.names)}"


def _says(namespace: str, watched: Watched, event: str) -> str:
    """The row before and after."""
    sides = {"INSERT": ("NEW",), "DELETE": ("OLD",), "UPDATE": ("OLD", "NEW")}[event]
    said = f"{text(namespace)}, 0, {_changes(watched, sides)}"
    return f"INSERT INTO {outbox.name} (namespace, own, changes) VALUES ({said})"


def _replaces(namespace: str, watched: Watched, event: str) -> str:
    """The rows whose places the new one may take."""
    same = []
    for key in watched.keys:
        equal = [
            f"there.{quoted(name)} = NEW.{quoted(name)} COLLATE {quoted(collation)}"
            for name, collation in key
        ]
        if event == "UPDATE":
            still = " AND ".join(f"OLD.{quoted(name)} IS NEW.{quoted(name)}" for name, _ in key)
            equal.append(f"NOT ({still})")
        same.append(f"({' AND '.join(equal)})")
    return (
        f"INSERT INTO {outbox.name} (namespace, own, changes) SELECT {text(namespace)}, 0, "
        f"{_changes(watched, ('there',))} FROM {quoted(watched.table)} AS there WHERE {' OR '.join(same)}"
    )


def _changes(watched: Watched, sides: Sequence[str]) -> str:
    if watched.columns is None:
        return text(whole_changes(watched.names))
    head, tail = raw_changes(watched.names, watched.columns)
    rows = " || ',' || ".join(_image(watched.columns, side) for side in sides)
    return f"{text(head + '[')} || {rows} || {text(']' + tail)}"


def _image(columns: Sequence[Column], side: str) -> str:
    return (
        "'[' || "
        + " || ',' || ".join(_raw(f"{side}.{quoted(column.name)}") for column in columns)
        + " || ']'"
    )


def _raw(value: str) -> str:
    """The value in the form of core/raws.py, in SQL that can't fail, whatever the value is."""
    return (
        f"CASE typeof({value}) WHEN 'null' THEN 'null' WHEN 'integer' THEN '\"I' || {value} || '\"' "
        f"WHEN 'real' THEN '\"R' || printf('%!.17g', {value}) || '\"' "
        f"ELSE CASE WHEN length(CAST({value} AS BLOB)) > {LONGEST_RAW} THEN '{{}}' "
        f"ELSE '\"' || CASE typeof({value}) WHEN 'text' THEN 'H' ELSE 'X' END || hex({value}) || '\"' END END"
    )


__all__ = ["ASK", "COVERED", "LAST", "MAKE_COVERED", "plan", "read", "strangers", "watched"]
