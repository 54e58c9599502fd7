"""What a statement changes, asked of the database in the statement's own transaction.

Before an UPDATE or DELETE, the rows that it will hit are read and locked: what they hold then is what entries
in the cache may show, whatever the ORM remembers of them. What rows hold afterwards is read once, before the
COMMIT. Where rows can't be told (too many, an upsert, SQL as text), the whole table is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Delete, Insert, Table, Update, delete
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.sql.dml import UpdateBase

from warmer.capture.lookups import MOST_ROWS, Lookup, by_key, lookup_of
from warmer.capture.tables import children_of, form_of
from warmer.core.changes import MOST_IMAGES, Image
from warmer.outbox.concerning import has_written
from warmer.outbox.pending import Frame, Pending
from warmer.outbox.rows import OURS, raise_if_missing
from warmer.outbox.schema import outbox

if TYPE_CHECKING:
    from sqlalchemy.engine import CursorResult

    from warmer.core.changes import Changes
    from warmer.namespace import Warmer

#: Keys that are looked up before a COMMIT.
MOST_KEYS = 5_000
#: Where texts that differ in case or accents are equal by default, no row can be told by a text.
_FOLDING = frozenset({"mysql", "mariadb", "mssql"})
#: Changes nothing; made once, as it takes longer to make than to run.
_TOUCH = delete(outbox).where(outbox.c.id < 0)
_NAME = r'["`\[]?[\w$]+["`\]]?(?:\.["`\[]?[\w$]+["`\]]?)*'
_WRITES = re.compile(
    r"\b(?:insert\s+(?:or\s+\w+\s+)?into|replace\s+into|update(?:\s+or\s+\w+)?(?:\s+only)?|merge\s+into"
    r"|delete\s+from(?:\s+only)?|truncate(?:\s+table)?(?:\s+only)?|copy)\s+"
    rf"({_NAME}(?:\s*,\s*{_NAME})*)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Seen:
    """What was read before a statement. keys: of the rows, where they must be read again afterwards."""

    table: Table
    rows: int
    keys: set[tuple[Any, ...]] | None
    by_key: bool


def written_in(statement: str) -> list[str]:
    """The tables that SQL as text writes to, as far as it shows, as they are written there."""
    return [
        re.sub(r'["`\[\]\s]', "", name) for names in _WRITES.findall(statement) for name in names.split(",")
    ]


class Statements:
    """Tells what statements change, for one namespace."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace

    # -- around a statement

    def before(
        self, connection: Connection, pending: Pending, clause: Any, params: Sequence[Mapping[str, Any]]
    ) -> None:
        """Read what an UPDATE or DELETE will hit."""
        pending.statement = None
        if not isinstance(clause, Update | Delete):
            return
        table = clause.table
        has_written(pending)
        if not isinstance(table, Table):
            self._whole(pending.changes, _tables_in(table))
            return
        if isinstance(clause, Delete):
            self._whole(pending.changes, children_of(table))
        columns = self._columns(connection, table)
        if columns is None:
            pending.changes.add_rows(table.fullname, None)
            return
        _lock(connection, pending)
        again = isinstance(clause, Update) and _sets(clause, table, columns, params)
        keys = list(table.primary_key.columns)
        if isinstance(clause, Update) and _sets(clause, table, keys, params):
            self._whole(pending.changes, [table, *children_of(table)])
            return
        if again and not keys:
            pending.changes.add_rows(table.fullname, None)
            return
        found = lookup_of(clause, table, keys if again else (), columns, params, connection.dialect.name)
        if found is None:
            pending.changes.add_rows(table.fullname, None)
            return
        self._read(connection, pending, table, columns, found, len(keys) if again else 0)

    def _read(
        self,
        connection: Connection,
        pending: Pending,
        table: Table,
        columns: Sequence[Column[Any]],
        found: Lookup,
        keys: int,
    ) -> None:
        rows = [
            tuple(row)
            for statement, params in found.statements
            for row in connection.execute(statement, params, execution_options=OURS)
        ]
        count = sum(row[-1] for row in rows) if found.counted else len(rows)
        if count > MOST_ROWS:
            pending.changes.add_rows(table.fullname, None)
            return
        end = keys + len(columns)
        pending.changes.add_rows(table.fullname, _images(columns, [row[keys:end] for row in rows]))
        seen = {row[:keys] for row in rows} if keys else None
        pending.statement = Seen(table, count, seen, found.by_key)

    def after(self, connection: Connection, pending: Pending, clause: Any, result: CursorResult[Any]) -> None:
        """Note which rows must be read again; name the table if others than those read were hit."""
        if isinstance(clause, Insert):
            has_written(pending)
            self._inserted(connection, pending, clause, result)
            return
        seen, pending.statement = pending.statement, None
        if not isinstance(seen, Seen):
            return
        hit = result.rowcount
        # SQLite's write lock is held: no row can have come in between. Elsewhere one may have.
        if connection.dialect.name != "sqlite" and (hit > seen.rows or (hit < 0 and not seen.by_key)):
            pending.changes.add_rows(seen.table.fullname, None)
        if seen.keys:
            pending.touch(seen.table, seen.keys)

    def _inserted(
        self, connection: Connection, pending: Pending, clause: Insert, result: CursorResult[Any]
    ) -> None:
        table = clause.table
        if not isinstance(table, Table):
            self._whole(pending.changes, _tables_in(table))
            return
        columns = self._columns(connection, table)
        if columns is None or clause.select is not None or _updates(clause):
            pending.changes.add_rows(table.fullname, None)
            return
        try:
            keys = {tuple(row) for row in result.inserted_primary_key_rows if row is not None}
        except InvalidRequestError:
            keys = {(None,)}
        if keys and all(len(key) == len(table.primary_key.columns) and None not in key for key in keys):
            pending.touch(table, keys)
            return
        pending.changes.add_rows(table.fullname, _given(columns, result))

    def text(self, pending: Pending, statement: str, context: Any) -> set[str]:
        """Name the tables that SQL as text writes to, as far as it shows; the names."""
        head = statement.lstrip()[:6].upper()
        if head == "SELECT":
            return set()
        compiled = getattr(context, "compiled", None)
        known = compiled is not None and isinstance(compiled.statement, UpdateBase)
        if known and not head.startswith("WITH"):
            return set()
        found = set[str]()
        for name in written_in(statement):
            found |= self._whole_named(pending, name)
        return found

    def _whole_named(self, pending: Pending, name: str) -> set[str]:
        """A table by its name in SQL text, which may lack its schema, or be in other letters."""
        if name.lower() == outbox.name:
            return set()
        has_written(pending)
        last = name.rpartition(".")[2].lower()
        tables = self._namespace.runtime().shapes.by_table()
        alike = [table for table in tables if table.rpartition(".")[2].lower() == last]
        named = {name, last, *alike}
        for table in named:
            pending.changes.add_rows(table, None)
        return named

    # -- before COMMIT

    def settled(self, connection: Connection, pending: Pending) -> Changes:
        """All that the transaction changed, with what its rows hold now."""
        frame: Frame = pending.merged()
        for table, keys in frame.touched.items():
            columns = self._columns(connection, table)
            if columns is None or len(keys) > MOST_KEYS:
                frame.changes.add_rows(table.fullname, None)
            elif frame.changes.rows.get(table.fullname, ()) is not None:
                for found, given in by_key(table, tuple(columns), sorted(keys, key=repr)):
                    rows = [tuple(row) for row in connection.execute(found, given, execution_options=OURS)]
                    frame.changes.add_rows(table.fullname, _images(columns, rows))
        return frame.changes

    # -- tables

    def _columns(self, connection: Connection, table: Table) -> list[Column[Any]] | None:
        """The columns that some query depends on; None if there is none, or rows can't be told by them."""
        names = self._namespace.runtime().shapes.columns_of(table.fullname)
        by_name = {column.name: column for column in table.columns}
        if not names or not all(name in by_name for name in names):
            return None
        columns = [by_name[name] for name in names]
        folds = connection.dialect.name in _FOLDING and any(form_of(one).family in "sp" for one in columns)
        return None if folds else columns

    def _whole(self, changes: Changes, tables: Iterable[Table]) -> None:
        for table in tables:
            changes.add_rows(table.fullname, None)


def _sets(
    clause: Any, table: Table, columns: Iterable[Column[Any]], params: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether an UPDATE may give one of these columns another value; in doubt, it may."""
    wanted = set(columns)
    if any(column.onupdate is not None or column.computed is not None for column in wanted):
        return True
    ordered = getattr(clause, "_ordered_values", None) or ()
    written: set[Any] = set(clause._values or ()) | {key for key, _ in ordered}
    for key in written:
        column = table.c.get(key if isinstance(key, str) else getattr(key, "key", ""))
        if column is None or column in wanted:
            return True
    keys = {column.key for column in wanted}
    return any(keys & set(given) for given in params)


def _images(columns: Sequence[Column[Any]], rows: Iterable[Sequence[Any]]) -> set[Image] | None:
    """The distinct rows as images; None if there are too many."""
    forms = [(column.name, form_of(column)) for column in columns]
    images: set[Image] = set()
    for values in dict.fromkeys(tuple(row) for row in rows):
        tokens = ((name, form.token(value)) for (name, form), value in zip(forms, values, strict=True))
        images.add(frozenset((name, token) for name, token in tokens if token is not None))
        if len(images) > MOST_IMAGES:
            return None
    return images


def _given(columns: Sequence[Column[Any]], result: CursorResult[Any]) -> set[Image] | None:
    """Inserted rows as they were given, where the database keeps such values as they are."""
    given = getattr(result.context, "compiled_parameters", None) or ()
    rows = []
    for params in given:
        if not all(column.key in params for column in columns):
            return None
        rows.append([params[column.key] for column in columns])
    exact = all(form_of(column).family in tuple("snbdu") for column in columns)
    return _images(columns, rows) if rows and exact else None


def _lock(connection: Connection, pending: Pending) -> None:
    """On SQLite, take the write lock before reading: another's write must not come in between."""
    if pending.locked or connection.dialect.name != "sqlite":
        return
    try:
        connection.execute(_TOUCH, execution_options=OURS)
    except DBAPIError as exc:
        raise_if_missing(connection.engine.url.render_as_string(), exc)
        raise
    pending.locked = True


def _updates(clause: Insert) -> bool:
    """Whether an INSERT may change rows that are there."""
    after = getattr(clause, "_post_values_clause", None)
    return bool(clause._prefixes) or (after is not None and "nothing" not in type(after).__name__.lower())


def _tables_in(selectable: Any) -> list[Table]:
    return [one for one in getattr(selectable, "_from_objects", ()) if isinstance(one, Table)]


__all__ = ["Statements"]
