"""Telling triggers which statements capture has told by itself, so that nothing is said twice.

On PostgreSQL the statement carries a comment, which ends with it: no round trip, nothing to take back, and
nothing that a savepoint could leave behind. On SQLite, where a trigger can't see the statement, a row stands
in a table while the statement runs. Where a trigger can't tell the statement from what else runs inside it,
it is told nothing: a change said twice does no harm, one that is never said does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from warmer.triggers import postgresql, sqlite
from warmer.triggers.quoting import quoted
from warmer.triggers.tables import mark_of

if TYPE_CHECKING:
    from warmer.outbox.pending import Pending

#: How long PostgreSQL's answer holds: triggers made meanwhile say again what capture said.
LOOK_EVERY_S: Final = 60.0
_MARK: Final = f"INSERT OR REPLACE INTO {sqlite.COVERED} (mark, last) VALUES (?, {sqlite.LAST})"
#: Tables that a statement on them may write to a second time, with nothing in between that a trigger could
#: see: where acting foreign keys lead back to them (PostgreSQL fires what a cascade has queued as if the
#: statement had), and where rules rewrite it.
_AGAIN: Final = """\
WITH RECURSIVE acts(parent, child) AS (
  SELECT confrelid, conrelid FROM pg_constraint
  WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
), below(parent, child) AS (
  SELECT parent, child FROM acts
  UNION SELECT b.parent, a.child FROM below b JOIN acts a ON a.parent = b.child
)
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND (c.relhasrules OR c.oid IN (SELECT parent FROM below WHERE parent = child))"""
_ACTS: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


@dataclass(frozen=True, slots=True)
class _Known:
    """marks: by the name of a table with triggers. version: SQLite's, of its schema."""

    marks: dict[str, str]
    until: float = 0.0
    version: int = 0


class Covering:
    """What one namespace's tracked engines know of the triggers in their databases."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._known: WeakKeyDictionary[Engine, _Known] = WeakKeyDictionary()

    def begin(self, connection: Connection, pending: Pending, statement: str, tables: Iterable[str]) -> str:
        """The statement as it is to be run: capture has told what it does to these tables."""
        look = {"postgresql": self._postgresql, "sqlite": self._sqlite}.get(connection.dialect.name)
        if look is None:
            return statement
        known = look(connection)
        marks = sorted({known[table] for table in tables if table in known})
        if not marks:
            return statement
        if connection.dialect.name == "postgresql":
            return f"{statement} /*{' '.join(marks)}*/"
        pending.covering = self._mark(connection, marks)
        return statement

    def end(self, connection: Connection, pending: Pending) -> None:
        """The statement has run, or failed: what else is written now is not told."""
        if not pending.covering:
            return
        pending.covering = False
        # Some failures have rolled the transaction back, and the marks with it.
        if getattr(connection.connection.dbapi_connection, "in_transaction", True):
            _ask(connection, f"DELETE FROM {sqlite.COVERED}")

    def _mark(self, connection: Connection, marks: Iterable[str]) -> bool:
        cursor = connection.connection.cursor()
        try:
            for mark in marks:
                cursor.execute(_MARK, (mark,))
        except connection.dialect.loaded_dbapi.Error:
            self._known.pop(connection.engine, None)  # the triggers may be gone; if not, they say it again
            return False
        finally:
            cursor.close()
        return True

    def _postgresql(self, connection: Connection) -> dict[str, str]:
        known = self._known.get(connection.engine)
        if known is None or time.monotonic() >= known.until:
            found = postgresql.read(_ask(connection, postgresql.ASK))
            again = {(schema, table) for schema, table in _ask(connection, _AGAIN)}
            names = {
                name
                for one in found
                if one.namespace == self._namespace and (one.schema, one.table) not in again
                for name in one.names
            }
            known = _Known(self._marks(names), time.monotonic() + LOOK_EVERY_S)
            self._known[connection.engine] = known
        return known.marks

    def _sqlite(self, connection: Connection) -> dict[str, str]:
        version = int(_ask(connection, "PRAGMA schema_version")[0][0])
        known = self._known.get(connection.engine)
        if known is None or known.version != version:
            known = self._known[connection.engine] = _Known(self._coverable(connection), version=version)
        return known.marks

    def _coverable(self, connection: Connection) -> dict[str, str]:
        """The tables that nothing but the statement itself can write to while it runs."""
        rows = _ask(connection, sqlite.ASK)
        if sqlite.strangers(rows):
            return {}
        children: dict[str, set[str]] = {}
        for (table,) in _ask(connection, "SELECT name FROM sqlite_master WHERE type = 'table'"):
            for key in _ask(connection, f"PRAGMA foreign_key_list({quoted(table)})"):
                if _ACTS & set(key[5:7]):
                    children.setdefault(key[2].lower(), set()).add(table.lower())
        names = set[str]()
        for one in sqlite.read(rows):
            if one.namespace == self._namespace and one.table.lower() not in _below(one.table, children):
                names.update(one.names)
        return self._marks(names)

    def _marks(self, names: Iterable[str]) -> dict[str, str]:
        return {name: mark_of(self._namespace, name) for name in names}


def _below(table: str, children: Mapping[str, set[str]]) -> set[str]:
    """The tables whose rows may go with rows of this one: itself, too, if foreign keys lead back to it."""
    found, todo = set[str](), [table.lower()]
    while todo:
        new = children.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


def _ask(connection: Connection, statement: str) -> list[Any]:
    """Past all events: they are about the statement that is about to run."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


__all__ = ["Covering"]
