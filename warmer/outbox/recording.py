"""`record`: a change that somebody writes without SQLAlchemy's help, put into their own transaction."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmer.core.changes import Changes, Image
from warmer.core.columns import token_of
from warmer.errors import NotTrackable, show
from warmer.outbox.pending import Pending
from warmer.outbox.since import own, watches

if TYPE_CHECKING:
    from warmer.namespace import Warmer
    from warmer.outbox.process import Outbox

_INSERT = "INSERT INTO warmer_outbox (namespace, own, changes) VALUES ({0}, {1}, {2})"
_PLACES = {"qmark": "?, ?, ?", "format": "%s, %s, %s", "pyformat": "%s, %s, %s", "named": ":1, :2, :3"}
_CONNECTIONS = "a connection (or session) of SQLAlchemy, of a DB-API driver or of Django"

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change that stands in somebody's transaction. The relay applies it once that is committed."""

    outbox: Outbox
    changes: Changes
    namespace: str

    def apply(self) -> bool:
        """Apply it now, in place of at the relay's next look. Call it after COMMIT, never before.

        Whether it is applied: when Redis did not confirm within `invalidate_timeout`, it is left to the
        relay. Never raises.
        """
        own_writes = own(watches(self.namespace), time.monotonic())
        return self.outbox.apply(self.changes, writes=own_writes) is not None


def record(
    namespace: Warmer, connection: Any, table: Any, old: Values | None, new: Values | None
) -> Recorded:
    """See `Warmer.record`."""
    changes = changes_of(table, old, new)
    made = Recorded(namespace.outbox, changes, namespace.namespace)
    inner = _sqlalchemy(connection)
    if inner is None:
        _insert(namespace.namespace, connection, changes)
        return made
    from warmer.outbox.rows import write

    pending = inner.info.get(("warmer", namespace.namespace))
    if isinstance(pending, Pending) and not pending.closed:
        pending.wrote = True
        pending.changes.merge(changes)
    else:
        write(inner, namespace.namespace, changes, own=False)
    return made


def changes_of(table: Any, old: Values | None, new: Values | None) -> Changes:
    """A row before and after; neither: any row of the table. Raises NotTrackable."""
    changes = Changes()
    if isinstance(table, str) and table:
        images = [_image(values) for values in (old, new) if values is not None]
        changes.add_rows(table, images or None)
        return changes
    from warmer.capture.tables import form_of, tables_of

    tables = tables_of(table)
    if not tables:
        raise NotTrackable(show(table), "a table's name, a mapped class or a Table")
    for one in tables:
        known = {column.name: form_of(column) for column in one.columns}
        told = [
            frozenset(
                (name, token)
                for name, value in values.items()
                if name in known and (token := known[name].token(value)) is not None
            )
            for values in (old, new)
            if values is not None
        ]
        changes.add_rows(one.fullname, told or None)
    return changes


def _image(values: Values) -> Image:
    tokens = {name: token_of(value) for name, value in values.items()}
    return frozenset((name, token) for name, token in tokens.items() if token is not None)


def _sqlalchemy(connection: Any) -> Any:
    """SQLAlchemy's connection behind what was given; None if that is none of its things."""
    if type(connection).__module__.partition(".")[0] != "sqlalchemy" and "sqlalchemy" not in sys.modules:
        return None
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session, scoped_session

    if isinstance(connection, Session | scoped_session):
        return connection.connection()
    inner = getattr(connection, "sync_connection", connection)  # of an AsyncConnection
    return inner if isinstance(inner, Connection) else None


def _insert(namespace: str, connection: Any, changes: Changes) -> None:
    places = _PLACES.get(_style(connection))
    if places is None or not hasattr(connection, "cursor"):
        raise NotTrackable(show(connection), _CONNECTIONS)
    cursor = connection.cursor()
    try:
        cursor.execute(_INSERT.format(*places.split(", ")), (namespace, False, changes.text()))
    finally:
        cursor.close()


def _style(connection: Any) -> str:
    """How a driver writes parameters; Django's connections all write them in one way."""
    if hasattr(connection, "vendor"):
        return "format"
    module = type(connection).__module__
    while module:
        style = getattr(sys.modules.get(module), "paramstyle", None)
        if isinstance(style, str):
            return style
        module = module.rpartition(".")[0]
    return ""
