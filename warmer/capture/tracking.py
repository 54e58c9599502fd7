"""Following the transactions of an engine: begun, with savepoints, committed, rolled back.

The outbox row is written just before COMMIT, in the same transaction. What it says is applied right after
COMMIT, before `commit()` returns. There is no event for that moment, so the dialect's own commit is wrapped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.util import await_only

from warmer.capture.cleanness import current_load, heard_in_load, settled
from warmer.capture.statements import Statements, written_in
from warmer.core.changes import Changes
from warmer.outbox import rows
from warmer.outbox.databases import Database
from warmer.outbox.pending import Pending, ended, opened
from warmer.outbox.since import own, watches
from warmer.store.heard import Began
from warmer.strict.barriers import Barrier
from warmer.strict.guarding import Guard
from warmer.triggers.covering import Covering

if TYPE_CHECKING:
    from warmer.namespace import Warmer


class Tracker:
    """The tracked engines of one namespace in one process."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace
        self._key = ("warmer", namespace.namespace)
        self._barrier_key = ("warmer barrier", namespace.namespace)
        self._guard = Guard(namespace)
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
            ("commit", self._commit),
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
        self._wrap_rollback(engine)

    def see(self, connection: Connection, *, joined: bool) -> None:
        """A session has begun on this connection: follow its engine, and this transaction, too.

        joined: the connection is not the session's own, and may have been in a transaction before.
        """
        self.follow(connection.engine)
        if self._key not in connection.info:
            self._begin(connection, known=not joined)

    # -- the events of a connection

    def _begin(self, connection: Connection, *, known: bool = True) -> None:
        heard = self._namespace.heard if known else None
        began = None if heard is None else Began(time.monotonic(), time.time(), heard)
        namespace = self._namespace.namespace
        pending = Pending(namespace, ref(connection), began, watches(namespace))
        pending.begun_in = current_load()
        connection.info[self._key] = pending
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
        if connection._is_autocommit_isolation():
            self._guard.refuse(written_in(statement))
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
            if not connection._is_autocommit_isolation():
                connection.info[self._barrier_key] = self._guard.before_commit(
                    connection, changes, pending.row
                )

    def _commit(self, connection: Connection) -> None:
        """`_write`; and ROLLBACK if that fails.

        SQLAlchemy takes a transaction for over whose `commit` event has raised, and gives its connection back
        to the pool as it is: the next one to commit on it would commit this one, too.
        """
        try:
            self._write(connection)
        except BaseException:
            connection._rollback_impl()
            raise

    def _second_phase(self, connection: Connection, xid: Any, prepared: bool) -> None:
        """Without a first phase, nothing has written the row yet."""
        if prepared:
            return
        try:
            self._write(connection)
        except BaseException:
            connection._rollback_twophase_impl(xid, is_prepared=False)
            raise

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
            pending, barrier = self._taken(dbapi_connection.info)
            try:
                commit(dbapi_connection)
            except BaseException:
                # Whether the database has committed is not known now. Its row, if there is one, stays.
                self._committed(dialect.is_async, None, pending, barrier)
                raise
            self._committed(dialect.is_async, database, pending, barrier)

        def do_commit_twophase(connection: Connection, xid: Any, *how: Any, **named: Any) -> None:
            pending, barrier = self._taken(connection.info)
            try:
                commit_prepared(connection, xid, *how, **named)
            except BaseException:
                self._committed(dialect.is_async, None, pending, barrier)
                raise
            self._committed(dialect.is_async, database, pending, barrier)

        dialect.do_savepoint = do_savepoint  # type: ignore[method-assign]
        dialect.do_commit = do_commit  # type: ignore[method-assign]  # see the top of this file
        dialect.do_commit_twophase = do_commit_twophase  # type: ignore[method-assign]

    def _wrap_rollback(self, engine: Engine) -> None:
        """A barrier comes down when the database has rolled back, and not when it is only asked to."""
        dialect = engine.dialect
        rollback, rollback_prepared = dialect.do_rollback, dialect.do_rollback_twophase

        def do_rollback(dbapi_connection: Any) -> None:
            barrier = _info_of(dbapi_connection).pop(self._barrier_key, None)
            try:
                rollback(dbapi_connection)
            finally:
                if barrier is not None:
                    self._guard.leave(barrier)

        def do_rollback_twophase(connection: Connection, xid: Any, *how: Any, **named: Any) -> None:
            barrier = connection.info.pop(self._barrier_key, None)
            try:
                rollback_prepared(connection, xid, *how, **named)
            finally:
                if barrier is not None:
                    self._guard.leave(barrier)

        dialect.do_rollback = do_rollback  # type: ignore[method-assign]
        dialect.do_rollback_twophase = do_rollback_twophase  # type: ignore[method-assign]

    def _taken(self, info: Any) -> tuple[Pending | None, Barrier | None]:
        return info.pop(self._key, None), info.pop(self._barrier_key, None)

    def _committed(
        self,
        is_async: bool,
        database: Database | None,
        pending: Pending | None,
        barrier: Barrier | None = None,
    ) -> None:
        """Apply what was committed. Never raises, but for the cancellation of an asyncio task."""
        if pending is None:
            return
        ended(pending)
        if database is not None:
            settled(pending)
        if pending.written is None:
            return
        if is_async:
            await_only(asyncio.to_thread(self._apply, database, pending, pending.written, barrier))
        else:
            self._apply(database, pending, pending.written, barrier)

    def _apply(
        self, database: Database | None, pending: Pending, changes: Changes, barrier: Barrier | None
    ) -> None:
        """database: None if nobody knows whether it has committed: then nothing that was put is stored."""
        outbox = self._namespace.outbox
        if database is None:
            outbox.apply(changes)
            if barrier is not None:
                self._guard.leave(barrier)
            return
        began_at = pending.began.at if pending.began else time.monotonic()
        applying = outbox.apply(changes, pending.puts, own(pending.watches, began_at))
        if barrier is not None:
            if applying is not None:
                self._guard.lower(barrier)
            else:
                self._guard.leave(barrier)
        if applying is not None and pending.row:
            outbox.applied(database, pending.row, applying.lives)


def _info_of(dbapi_connection: Any) -> dict[Any, Any]:
    """What is noted of a connection; nothing of one that a dialect tries as it first connects."""
    try:
        info = dbapi_connection.info
    except NotImplementedError:
        return {}
    return info if isinstance(info, dict) else {}
