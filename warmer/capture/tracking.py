"""Following the transactions of an engine: begun, with savepoints, committed, rolled back.

The outbox row is written just before COMMIT, in the same transaction. What it says is applied right after
COMMIT, before `commit()` returns. There is no event for that moment, so the dialect's own commit is wrapped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.util import await_only

from warmer.capture.cleanness import current_load, heard_in_load, settled
from warmer.capture.statements import Statements
from warmer.core.changes import Changes
from warmer.outbox import rows
from warmer.outbox.databases import Database
from warmer.outbox.pending import Pending, ended, opened
from warmer.triggers.covering import Covering

if TYPE_CHECKING:
    from warmer.namespace import Warmer


class Tracker:
    """The tracked engines of one namespace in one process."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace
        self._key = ("warmer", namespace.namespace)
        self._statements = Statements(namespace)
        self._covering = Covering(namespace.namespace)
        self._databases: dict[Engine, Database] = {}

    def follow(self, engine: Engine) -> None:
        """Track what is written through an engine. Connects to nothing; a second time does nothing."""
        if engine in self._databases:
            return
        database = self._databases[engine] = Database(lambda: engine)
        self._namespace.outbox.add(database)
        for name, call in (
            ("begin", self._begin),
            ("begin_twophase", lambda connection, xid: self._begin(connection)),
            ("release_savepoint", lambda c, name, _: self._of(c, lambda p: p.release(name))),
            ("rollback_savepoint", lambda c, name, _: self._of(c, lambda p: p.undo(name))),
            ("rollback", self._rollback),
            ("rollback_twophase", lambda connection, xid, prepared: self._rollback(connection)),
            ("commit", self._write),
            ("prepare_twophase", lambda connection, xid: self._write(connection)),
            ("commit_twophase", self._second_phase),
            ("before_execute", self._before),
            ("after_execute", self._after),
            ("after_cursor_execute", lambda c, *_: self._of(c, lambda p: self._covering.end(c, p))),
        ):
            event.listen(engine, name, call)
        event.listen(engine, "before_cursor_execute", self._text, retval=True)
        event.listen(engine, "handle_error", self._failed)
        self._wrap_commit(engine, database)

    def see(self, connection: Connection) -> None:
        """A session has begun on this connection: follow its engine, and this transaction, too."""
        self.follow(connection.engine)
        if self._key not in connection.info:
            self._begin(connection)

    # -- the events of a connection

    def _begin(self, connection: Connection) -> None:
        pending = connection.info[self._key] = Pending(self._namespace.namespace, ref(connection))
        pending.begun_in = current_load()
        opened(pending)

    def _of(self, connection: Connection, act: Callable[[Pending], object]) -> None:
        pending = None if connection.invalidated else connection.info.get(self._key)
        if pending is not None:
            act(pending)

    def _savepoint(self, connection: Connection, name: str) -> None:
        pending = connection.info.get(self._key)
        if pending is None:
            return
        raw = connection.connection.dbapi_connection
        if connection.dialect.name == "sqlite" and not getattr(raw, "in_transaction", True):
            # As the first statement, a savepoint would be the transaction, and its release the COMMIT.
            connection.exec_driver_sql("BEGIN", execution_options=rows.OURS)
        pending.savepoint(name)

    def _rollback(self, connection: Connection) -> None:
        # A lost connection has nothing to ask, and what was open on it counts as ended by itself.
        pending = None if connection.invalidated else connection.info.pop(self._key, None)
        if pending is not None:
            ended(pending)

    def _before(self, connection: Connection, clause: Any, many: Any, one: Any, options: Any) -> None:
        if options.get("warmer_ours") or not isinstance(clause, UpdateBase):
            return
        if not connection.in_transaction():
            connection.begin()  # as the statement would, but only after this event
        pending = connection.info.get(self._key)
        if pending is not None:
            self._statements.before(connection, pending, clause, many or [one])
            pending.clause = clause

    def _after(
        self, connection: Connection, clause: Any, many: Any, one: Any, options: Any, result: Any
    ) -> None:
        pending = connection.info.get(self._key)
        if pending is None or options.get("warmer_ours"):
            return
        if isinstance(clause, UpdateBase):
            self._statements.after(connection, pending, clause, result)
        if pending.wrote and connection._is_autocommit_isolation():
            self._commit_now(connection, pending)

    def _text(
        self, connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        pending = connection.info.get(self._key)
        if pending is None or (context and context.execution_options.get("warmer_ours")):
            return statement, parameters
        heard_in_load(connection, pending)
        told = self._statements.text(pending, statement, context)
        if context is not None and context.invoked_statement is pending.clause is not None:
            table = getattr(pending.clause, "table", None)
            told |= {table.fullname} if isinstance(table, Table) else set()
        # In a transaction of its own, a trigger's row is sure, and the one that follows it is not.
        if told and not connection._is_autocommit_isolation():
            statement = self._covering.begin(connection, pending, statement, told)
        return statement, parameters

    def _failed(self, context: ExceptionContext) -> None:
        connection = context.connection
        if connection is not None:
            self._of(connection, lambda pending: self._covering.end(connection, pending))

    # -- COMMIT

    def _write(self, connection: Connection) -> None:
        """Before COMMIT: the row of the outbox. Raises OutboxMissing: nothing is committed then."""
        pending = connection.info.get(self._key)
        if pending is None or pending.written is not None:
            return
        self._covering.end(connection, pending)
        changes = self._statements.settled(connection, pending)
        if changes:
            namespace = self._namespace.namespace
            pending.row = rows.write(connection, namespace, changes, own=True)
            pending.written = changes

    def _second_phase(self, connection: Connection, xid: Any, prepared: bool) -> None:
        """Without a first phase, nothing has written the row yet."""
        if not prepared:
            self._write(connection)

    def _commit_now(self, connection: Connection, pending: Pending) -> None:
        """Each statement is its own transaction here: a row of its own follows it, and is applied at once."""
        self._write(connection)
        self._begin(connection)
        self._committed(connection.dialect.is_async, self._databases.get(connection.engine), pending)

    def _wrap_commit(self, engine: Engine, database: Database) -> None:
        dialect = engine.dialect
        commit, commit_prepared = dialect.do_commit, dialect.do_commit_twophase
        savepoint = dialect.do_savepoint

        def do_savepoint(connection: Connection, name: str) -> None:
            self._savepoint(connection, name)  # its event comes before it has a name
            savepoint(connection, name)

        def do_commit(dbapi_connection: Any) -> None:
            pending = dbapi_connection.info.pop(self._key, None)
            try:
                commit(dbapi_connection)
            except BaseException:
                # Whether the database has committed is not known now. Its row, if there is one, stays.
                self._committed(dialect.is_async, None, pending)
                raise
            self._committed(dialect.is_async, database, pending)

        def do_commit_twophase(connection: Connection, xid: Any, *how: Any, **named: Any) -> None:
            pending = connection.info.pop(self._key, None)
            try:
                commit_prepared(connection, xid, *how, **named)
            except BaseException:
                self._committed(dialect.is_async, None, pending)
                raise
            self._committed(dialect.is_async, database, pending)

        dialect.do_savepoint = do_savepoint  # type: ignore[method-assign]
        dialect.do_commit = do_commit  # type: ignore[method-assign]  # see the top of this file
        dialect.do_commit_twophase = do_commit_twophase  # type: ignore[method-assign]

    def _committed(self, is_async: bool, database: Database | None, pending: Pending | None) -> None:
        """Apply what was committed. Never raises, but for the cancellation of an asyncio task."""
        if pending is None:
            return
        ended(pending)
        if database is not None:
            settled(pending)
        if pending.written is None:
            return
        if is_async:
            await_only(asyncio.to_thread(self._apply, database, pending.row, pending.written))
        else:
            self._apply(database, pending.row, pending.written)

    def _apply(self, database: Database | None, row: int, changes: Changes) -> None:
        outbox = self._namespace.outbox
        applying = outbox.apply(changes)
        if applying is not None and database is not None and row:
            outbox.applied(database, row, applying.stamp)
