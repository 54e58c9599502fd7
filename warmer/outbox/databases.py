"""Databases with an outbox: how a thread of Warmer's own gets a connection to one, whatever its engine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, SingletonThreadPool, StaticPool

from warmer.errors import DatabaseUnreachable

_T = TypeVar("_T")


class Database:
    """One database with an outbox. engine_of: gives its engine, which may be made at the first use."""

    def __init__(self, engine_of: Callable[[], Engine]) -> None:
        self._engine_of = engine_of
        self._url: str | None = None
        self._identity = ""

    @classmethod
    def of_url(cls, url: str) -> Database:
        """The database of a URL. Nothing is connected to."""
        made: list[Engine] = []

        def engine() -> Engine:
            if not made:
                made.append(create_engine(make_url(url), poolclass=NullPool))
            return made[0]

        named = cls(engine)
        named._url = url
        return named

    def keep_connections(self) -> None:
        """Keep one connection from use to use, for who uses it often: to connect takes longer than the rest.

        Only where the database is known by its URL and nothing else: how an engine connects is its project's.
        """
        url = None if self._url is None else make_url(self._url)
        if url is not None and url.get_backend_name() == "postgresql" and not self.engine.dialect.is_async:
            kept = create_engine(url, pool_size=1, pool_pre_ping=True)
            self._engine_of = lambda: kept

    def forget_connections(self) -> None:
        """In a forked child: those that are kept are the parent's."""
        if self._url is not None:
            self.engine.dispose(close=False)

    @property
    def engine(self) -> Engine:
        """Its engine; of an async one, the part that speaks SQL. Raises what making it raises."""
        return self._engine_of()

    @property
    def identity(self) -> str:
        """What tells it from others, "" where nothing does; asked once. Raises what `run` raises."""
        if not self._identity:
            from warmer.outbox.through import identity_of

            self._identity = identity_of(self)
        return self._identity

    @property
    def reachable(self) -> bool:
        """Whether another thread can have a connection of its own: one in memory has only the writer's."""
        return not isinstance(self.engine.pool, StaticPool | SingletonThreadPool)

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` gives, in a transaction of its own.

        Raises DatabaseUnreachable, OutboxMissing, OutboxOutdated.
        """
        engine = self.engine
        try:
            if engine.dialect.is_async:
                return asyncio.run(_run_async(engine, work))
            with engine.begin() as connection:
                return work(connection)
        except SQLAlchemyError as exc:
            _raise_if_missing(engine, exc)
            raise DatabaseUnreachable(engine.url.render_as_string(), str(exc)) from exc


async def _run_async(engine: Engine, work: Callable[[Connection], _T]) -> _T:
    """In an event loop of this thread's own, and so on a connection that no other loop has."""
    from sqlalchemy.ext.asyncio import AsyncEngine

    # An empty pool that connects as the engine's own does: with its arguments and what listens to it.
    own = AsyncEngine(Engine(engine.pool.recreate(), engine.dialect, engine.url))
    try:
        async with own.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await own.dispose()


def _raise_if_missing(engine: Engine, error: SQLAlchemyError) -> None:
    from warmer.outbox.rows import raise_if_missing

    if isinstance(error, DBAPIError):
        raise_if_missing(engine.url.render_as_string(), error)


__all__ = ["Database"]
