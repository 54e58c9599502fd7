"""A tracked transaction's part: to raise its barrier before COMMIT, and to lower it when it knows the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.util import await_only

from warmer.core.changes import Changes
from warmer.core.strictness import names_to_bar
from warmer.errors import BarrierNotRaised, ServerError
from warmer.strict import outcomes
from warmer.strict.barriers import Barrier, Barriers

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")
_T = TypeVar("_T")


class Guard:
    """The barriers of one namespace's transactions in this process."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace

    def before_commit(self, connection: Connection, changes: Changes, row: int) -> Barrier | None:
        """Raise what a transaction with these changes needs; None: it concerns no strict query.

        row: of the outbox, written in it. Raises BarrierNotRaised: it must not be committed then.
        """
        if not changes.rows:
            return None
        away = self._learn(connection)
        names = self._names(changes)
        if away is not None and (names or outcomes.is_used(connection, self._namespace.namespace)):
            raise BarrierNotRaised(names[:20] or tuple(sorted(changes.rows)), str(away)) from away
        if not names:
            return None
        barrier = self._identified(connection, row, names)
        runtime = self._namespace.runtime()
        barriers = Barriers(runtime.store, self._namespace.settings.strict_max_entries)
        try:
            _on_thread(connection, lambda: barriers.raise_(barrier))
        except BarrierNotRaised:
            runtime.counts.add("barriers_not_raised")
            self.leave(barrier)  # what may be up of it
            raise
        runtime.counts.add("barriers_raised")
        return barrier

    def refuse(self, tables: Iterable[str]) -> None:
        """Raise BarrierNotRaised if a statement that is its own transaction writes what is strict."""
        concerned = {
            table.rpartition(".")[2].lower() for table in self._namespace.runtime().strict.by_table()
        }
        found = tuple(table for table in tables if table.rpartition(".")[2].lower() in concerned)
        if found:
            cause = "in AUTOCOMMIT a statement is committed before anything can be barred; use a transaction"
            raise BarrierNotRaised(found, cause)

    def _learn(self, connection: Connection) -> ServerError | None:
        """Know of every strict query that may be in force; why that is not known."""
        try:
            strict = self._namespace.runtime().strict
            strict.writes = True
            if not strict.is_fresh:
                _on_thread(connection, strict.fetch)
        except ServerError as exc:
            return exc
        return None

    def _names(self, changes: Changes) -> tuple[str, ...]:
        try:
            return names_to_bar(changes, self._namespace.runtime().strict.by_table())
        except ServerError:
            return ()

    def _identified(self, connection: Connection, row: int, names: tuple[str, ...]) -> Barrier:
        dialect = connection.dialect.name
        if dialect not in outcomes.SUPPORTED:
            cause = f"on {dialect} nobody can tell later how a transaction ended; PostgreSQL and SQLite can"
            raise BarrierNotRaised(names[:20], cause)
        try:
            identity, transaction = outcomes.this_transaction(connection)
        except SQLAlchemyError as exc:
            cause = f"its database can't be told from others ({exc}); run `warmer db create`"
            raise BarrierNotRaised(names[:20], cause) from exc
        if identity is None:
            cause = "its database has no identity; run `warmer db create`"
            raise BarrierNotRaised(names[:20], cause)
        return Barrier.of(identity, dialect, transaction, row, names)

    def lower(self, barrier: Barrier) -> None:
        """Its transaction is over, and what it changed is applied. Never raises: else the relay does it."""
        try:
            runtime = self._namespace.runtime()
            Barriers(runtime.store, self._namespace.settings.strict_max_entries).lower(barrier)
        except Exception as exc:  # the transaction is over: its caller must learn that, and no more
            unexpected = None if isinstance(exc, ServerError) else exc
            log.warning("a barrier is left to the relay: %s", exc, exc_info=unexpected)
            self.leave(barrier)

    def leave(self, barrier: Barrier) -> None:
        """Its outcome is not known here: have the database asked."""
        self._namespace.outbox.attend_to_strict(barrier.token)


def _on_thread(connection: Connection, call: Callable[[], _T]) -> _T:
    """Blocking I/O inside an event of a transaction: of an async engine, not on its event loop."""
    if connection.dialect.is_async:
        return await_only(asyncio.to_thread(call))
    return call()
