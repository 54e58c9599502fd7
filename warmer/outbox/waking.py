"""Waking a relay when a trigger of PostgreSQL has written to the outbox, before its next look is due.

What is heard while a connection is lost is lost with it: after each new connection the relay looks by itself,
and goes on looking at its interval all the time. Needs psycopg as the engine's driver; elsewhere, nothing
listens.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from warmer.triggers.tables import channel_of

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")

#: How often a thread that hears nothing looks whether it should end, and how long it waits for a database.
HEED_S: Final = 0.5
AGAIN_S: Final = 2.0


class Waking:
    """The listening threads of one process, one a database."""

    def __init__(self, namespace: Warmer, wake: Callable[[], object]) -> None:
        """wake: called on a thread of ours, each time that there may be something to apply."""
        self._wake = wake
        self._channel = channel_of(namespace.namespace)
        self._databases = namespace.outbox.databases()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen to every database that can wake us. Connects on the threads."""
        for database in self._databases:
            database.keep_connections()
            if database.engine.dialect.name == "postgresql" and "psycopg" in _driver(database.engine):
                thread = threading.Thread(
                    target=self._keep, args=(database.engine,), name="warmer-listen", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """End the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * HEED_S)

    def _keep(self, engine: Engine) -> None:
        """Listen as long as the process lives, on one connection after another."""
        own = _own(engine)
        heard = True
        while not self._stop.is_set():
            try:
                self._listen(own)
                heard = True
            except Exception as exc:  # noqa: BLE001 - whatever it is, the relay's own looks make up for it
                if heard:
                    log.warning("nothing wakes the relay now, it looks at its interval: %s", exc)
                heard = False
                self._stop.wait(AGAIN_S)
        own.dispose()

    def _listen(self, engine: Engine) -> None:
        """Listen until told to end. Raises what a lost connection raises."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f'LISTEN "{self._channel}"')
            driver: Any = connection.connection.driver_connection
            self._wake()  # what came before is not heard
            log.debug("listening for changes at %s", engine.url.render_as_string())
            try:
                while not self._stop.is_set():
                    if any(True for _ in driver.notifies(timeout=HEED_S, stop_after=1)):
                        self._wake()
            except Exception:
                connection.invalidate()  # there is nobody to say goodbye to
                raise


def _driver(engine: Engine) -> str:
    return str(engine.dialect.driver)


def _own(engine: Engine) -> Engine:
    """An engine that connects as the project's does, with a pool of its own."""
    if engine.dialect.is_async:
        return create_engine(engine.url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    return Engine(engine.pool.recreate(), engine.dialect, engine.url)


__all__ = ["Waking"]
