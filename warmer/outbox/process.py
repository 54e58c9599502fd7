"""A process's part in the outbox: it applies its own changes after COMMIT, and marks them behind its back.

Marking is a transaction of its own, so it is done on a thread, many rows at a time. A process that dies
before it leaves rows that the relay applies once more, which does no harm.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from warmer.core.changes import Changes
from warmer.errors import NotOneOutbox, ServerError
from warmer.outbox.applying import Applying

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from warmer.namespace import Warmer
    from warmer.outbox.databases import Database
    from warmer.outbox.since import Since
    from warmer.puts import Put

log = logging.getLogger("warmer")

#: Applied rows wait so long to be marked, and so long again after a failure.
MARK_EVERY_S, RETRY_S = 0.2, 1.0
#: Within this, processes leave a primary that others have left (they look every 3 s), and mark what they did.
LEFT_WITHIN_S = 6.0
#: What can't be marked is not remembered for ever: the relay will find it.
MOST_WAITING = 10_000


class Outbox:
    """One namespace's outbox, as one process sees it."""

    def __init__(self, namespace: Warmer) -> None:
        self._namespace = namespace
        self._tracked: list[Database] = []
        self._named: Database | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child: what the parent meant to mark, it marks itself."""
        self._lock = threading.Lock()
        self._waiting: dict[Database, list[tuple[int, frozenset[bytes]]]] = {}
        self._left = self._strict_left = False
        self._look_until = 0.0
        self._barriers: set[str] = set()  # tokens of those that transactions here have left up
        if self._named is not None:
            self._named.forget_connections()
        self._thread: threading.Thread | None = None
        self._wake, self._stop = threading.Event(), threading.Event()

    # -- the databases

    def add(self, database: Database) -> None:
        """A tracked database: its outbox is this process's business, too."""
        self._tracked.append(database)

    def databases(self) -> list[Database]:
        """Every database that is known to have an outbox: what is tracked, else what `database_url` names."""
        url = self._namespace.settings.database_url
        if self._tracked:
            return self._once_each()
        if url is None:
            return []
        if self._named is None:
            from warmer.outbox.databases import Database

            self._named = Database.of_url(url)
        return [self._named]

    def _once_each(self) -> list[Database]:
        found: dict[Engine, Database] = {}
        for database in self._tracked:
            try:
                found.setdefault(database.engine, database)
            except Exception as exc:  # noqa: BLE001 - making it is the project's own business
                log.debug("a tracked database can't be had: %s", exc)
        return list(found.values())

    # -- after COMMIT

    def apply(
        self, changes: Changes, puts: Sequence[Put] = (), writes: Sequence[Since] = ()
    ) -> Applying | None:
        """Apply changes that are committed. Never raises: what fails is logged and left to the relay.

        puts: values that their transaction has put: they are stored then, or not. writes: of open `writing`
        blocks that it is a part of.
        """
        try:
            applying = self.applying(changes, puts, writes)
            applying.run()
        except Exception as exc:  # the transaction is committed: its caller must learn that, and no more
            unexpected = None if isinstance(exc, ServerError) else exc
            log.warning("a commit's invalidation is left to the relay: %s", exc, exc_info=unexpected)
            self._count("commits_left_to_relay")
            self._leave()
            return None
        self._count("commits_applied")
        for put in puts:
            put.settle(self._namespace.runtime())
        self.replicated(applying)
        return applying

    def applying(self, changes: Changes, puts: Sequence[Put] = (), writes: Sequence[Since] = ()) -> Applying:
        """The application of changes within `invalidate_timeout`, not begun. For the rest see `apply`."""
        namespace = self._namespace
        timeout_s = namespace.settings.invalidate_timeout
        applying = Applying(
            namespace.runtime(), changes, namespace.stale_us, timeout_s=timeout_s, via=self._via()
        )
        return applying.storing(puts, writes)

    @property
    def _through(self) -> bool:
        return self._namespace.settings.invalidate_through == "outbox"

    def _via(self) -> str:
        """The identity of the one database through whose outbox all is invalidated; "" if there is none."""
        if not self._through:
            return ""
        databases = self.databases()
        if len(databases) != 1 or not databases[0].reachable:
            return ""
        try:
            return databases[0].identity
        except ServerError as exc:  # if others hold us to it, the relay applies what is in the outbox
            log.debug("the database can't say who it is: %s", exc)
            return ""

    def invalidate(self, changes: Changes, puts: Sequence[Put] = ()) -> int:
        """Invalidate by hand, through the outbox: first it is written there; how many values went.

        puts: values to be stored with it, which may be settled then. Raises NotOneOutbox, DatabaseUnreachable
        and OutboxMissing, and nothing was done; InvalidationUnconfirmed and what Redis refuses: then it is
        left to the relay.
        """
        databases = self.databases()
        if len(databases) != 1 or not databases[0].reachable:
            found = f"{len(databases)} databases are" if len(databases) != 1 else "only one in memory is"
            raise NotOneOutbox(self._namespace.namespace, f"{found} known to this process")
        from warmer.outbox.rows import write

        database, name = databases[0], self._namespace.namespace
        row = database.run(lambda connection: write(connection, name, changes, own=True))
        try:
            applying = self.applying(changes, puts)
            applying.run()
        except BaseException:
            self._leave()
            raise
        self.applied(database, row, applying.lives)
        applying.await_replicas()
        return applying.removed

    def replicated(self, applying: Applying) -> None:
        """Wait until replicas have what was applied, where that is asked for. Never raises.

        What they lack is no reason to apply it again: it is applied, and if the primary is lost, nothing of
        its life is served.
        """
        try:
            applying.await_replicas()
        except ServerError as exc:
            log.warning("a commit is applied, and not on as many replicas as it should be: %s", exc)
            self._count("commits_not_replicated")

    def applied(self, database: Database, row: int, lives: Iterable[bytes]) -> None:
        """A row of this process's own is applied, in these lives of the server: have it marked."""
        with self._lock:
            waiting = self._waiting.setdefault(database, [])
            if len(waiting) < MOST_WAITING:
                waiting.append((row, frozenset(lives)))
        self._start()

    def _leave(self) -> None:
        self._left = True
        self._start()

    def attend_to_strict(self, left: str | None = None) -> None:
        """A strict query is not in force, or a barrier may be left up: have the databases asked, behind.

        left: the token of one whose transaction has ended here, nobody knows how.
        """
        if left is not None and len(self._barriers) < MOST_WAITING:
            self._barriers.add(left)
        if self.databases():
            self._strict_left = True
            self._start()

    def look_elsewhere(self) -> None:
        """The server's life has changed: for some seconds, look for rows that are marked with another.

        For as long as others may apply theirs to a primary that they have not left yet. A scheduler's relay
        looks all the time.
        """
        if self.databases():
            settings = self._namespace.settings
            late_s = 2 * settings.command_timeout + settings.invalidate_timeout
            self._look_until = time.monotonic() + LEFT_WITHIN_S + late_s
            self._start()

    def _count(self, event: str) -> None:
        try:
            self._namespace.runtime().counts.add(event)
        except ServerError:  # a server that refuses this process counts nothing for it
            return

    # -- behind

    def flush(self) -> bool:
        """Mark what waits for it; whether that worked."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        worked = True
        for database, rows in waiting.items():
            try:
                self._mark(database, rows)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the relay makes up for it
                log.debug("applied rows of the outbox are not marked yet: %s", exc)
                with self._lock:
                    self._waiting.setdefault(database, []).extend(rows)
                worked = False
        return worked

    def _mark(self, database: Database, rows: list[tuple[int, frozenset[bytes]]]) -> None:
        """What was applied in a life that is over is left to be applied again."""
        from warmer.outbox.rows import mark
        from warmer.outbox.settling import settle

        if not database.reachable:
            return
        store = self._namespace.runtime().store
        for lives in {lives for _, lives in rows}:
            settled = settle(store, lives)
            if settled is None:
                self._left = True
                continue
            ids = [row for row, applied_in in rows if applied_in == lives]
            database.run(partial(mark, ids=ids, settled=settled))

    def _start(self) -> None:
        self._wake.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._keep, args=(self._stop,), name="warmer-outbox", daemon=True
                    )
                    self._thread.start()
                    atexit.register(self._at_exit, os.getpid())

    def _at_exit(self, pid: int) -> None:
        if os.getpid() == pid:
            self.flush()

    def close(self) -> None:
        """Mark what waits for it, and end the thread; what can't be marked now is the relay's."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            self._wake.set()
            thread.join(RETRY_S)
            self._stop = threading.Event()
        self.flush()

    def _keep(self, stop: threading.Event) -> None:
        """Mark what is applied, and apply what was left, as long as the process lives."""
        relay: Callable[[], int] | None = None
        look: Callable[[], int] | None = None
        resolve: Callable[[], bool] | None = None
        while not stop.is_set():
            self._wake.wait()
            self._wake.clear()
            if stop.wait(MARK_EVERY_S):
                return
            worked = self.flush()
            if self._left:
                relay = relay or self._relay()
                worked = self._retry(relay) and worked
            if time.monotonic() < self._look_until:
                look = look or self._elsewhere()
                self._look(look)
                worked = False  # and again
            if self._strict_left:
                resolve = resolve or self._resolver()
                worked = self._resolve(resolve) and worked
            if not worked:
                stop.wait(RETRY_S)
                self._wake.set()

    def _retry(self, relay: Callable[[], int]) -> bool:
        self._left = False
        try:
            relay()
        except Exception as exc:  # noqa: BLE001 - it is tried until it works
            log.debug("what is left in the outbox can't be applied yet: %s", exc)
            self._left = True
            return False
        return True

    def _look(self, look: Callable[[], int]) -> None:
        try:
            look()
        except Exception as exc:  # noqa: BLE001 - it is tried again, and a relay looks, too
            log.debug("what was applied in another life of the server can't be had yet: %s", exc)

    def _resolve(self, resolve: Callable[[], bool]) -> bool:
        self._strict_left = False
        try:
            self._strict_left = resolve()
        except Exception as exc:  # noqa: BLE001 - it is tried until it works
            log.debug("strict queries can't be seen to yet: %s", exc)
            self._strict_left = True
        return not self._strict_left

    def _resolver(self) -> Callable[[], bool]:
        from warmer.strict.registry import LEFT_S
        from warmer.strict.resolving import Resolver

        hold_s = self._namespace.settings.invalidate_timeout + LEFT_S
        return Resolver(self._namespace, hold_s, self._barriers).step

    def _elsewhere(self) -> Callable[[], int]:
        from warmer.outbox.elsewhere import Elsewhere

        return Elsewhere(self._namespace).step

    def _relay(self) -> Callable[[], int]:
        from warmer.outbox.relay import Relay

        return Relay(self._namespace, hold_s=0.0).step
