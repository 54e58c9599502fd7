"""The strict queries of all processes, as this one knows them: whom the rows that it writes concern.

A writer raises a barrier where it knows of a strict query that its rows concern, and asks nobody else. That
is right because what it knows is never older than KNOWN_S, and a new strict query is not in force before
everybody who is alive has learned of it, and what was open then is over (see resolving.py).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from warmer.core.changes import RowShape
from warmer.core.keyspace import keyspace
from warmer.core.strictness import read_shapes, text_of
from warmer.errors import ServerError

if TYPE_CHECKING:
    from warmer.dependencies import Dependencies
    from warmer.store.operations import Store

log = logging.getLogger("warmer")

#: How old a writer's knowledge may be. The runtime renews it every 3 s; else a writer does, before COMMIT.
KNOWN_S = 5.0
#: A barrier that is up for longer may have been left by a writer that died.
LEFT_S = 3.0
#: A query that is not in force by then is told of, and again as often.
LATE_S = 60.0
#: A process says so often which strict queries it has: see forgetting.py.
REFRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class Survey:
    """What stood on the server, in one of its lives.

    names: every strict query. registered: those told of in this life. waiting: those of them that are not in
    force yet, with the microseconds since. silent: those since a process last said it has one, where that is
    known. barriers: by token, the microseconds since it was raised and its record.
    """

    life: bytes
    names: frozenset[str]
    registered: frozenset[str]
    waiting: Mapping[str, int]
    silent: Mapping[str, int]
    barriers: Mapping[str, tuple[int, str]]

    def is_left(self) -> bool:
        """Whether a barrier is up for so long that its writer may be dead."""
        return any(age_us >= LEFT_S * 1e6 for age_us, _ in self.barriers.values())

    @classmethod
    def read(cls, reply: Any) -> Self:
        """What survey_strict.lua says."""
        _, life, told, up = reply
        queries = [
            (told[at].decode(), int(told[at + 1]), told[at + 2] == b"1") for at in range(0, len(told), 4)
        ]
        silent = {told[at].decode(): int(told[at + 3]) for at in range(0, len(told), 4)}
        return cls(
            life,
            frozenset(name for name, _, _ in queries),
            frozenset(name for name, age_us, _ in queries if age_us >= 0),
            {name: age_us for name, age_us, in_force in queries if age_us >= 0 and not in_force},
            {name: silent_us for name, silent_us in silent.items() if silent_us >= 0},
            {up[at].decode(): (int(up[at + 1]), up[at + 2].decode()) for at in range(0, len(up), 3)},
        )


class Strict:
    """What this process knows of strict queries: its own, and what others have registered.

    on_trouble: called when there is something that a process with the database should see to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = keyspace(store.namespace, 0).strict
        self._lock = threading.Lock()
        self._own: dict[str, tuple[RowShape, ...]] = {}
        self._known: dict[str, tuple[RowShape, ...]] = {}
        self._by_table: dict[str, tuple[RowShape, ...]] = {}
        self._unregistered: set[str] = set()
        self._fetched_at = self._warned_at = self._refreshed_at = float("-inf")
        #: Whether this process writes, and so has to know of others' strict queries.
        self.writes = False
        self.on_trouble: Callable[[], None] = lambda: None

    def declare(self, dependencies: Dependencies) -> None:
        """A query of this process. Does no I/O; nothing is noted of one that is not strict."""
        if dependencies.strict:
            with self._lock:
                self._own[dependencies.strict] = dependencies.strict_shapes()
                self._unregistered.add(dependencies.strict)
                self._learn(self._own)

    def by_table(self) -> Mapping[str, Sequence[RowShape]]:
        """What every strict query known depends on, by table."""
        return self._by_table

    @property
    def is_used(self) -> bool:
        """Whether any strict query is known."""
        return bool(self._known)

    @property
    def is_fresh(self) -> bool:
        """Whether what is known is new enough for a writer to go by."""
        return time.monotonic() - self._fetched_at < KNOWN_S

    def register(self) -> None:
        """Tell of this process's own, if that has not been done. Raises ServerError."""
        if not self._unregistered:
            return
        with self._lock:
            telling = {name: self._own[name] for name in self._unregistered}
        pairs = [part for name, shapes in sorted(telling.items()) for part in (name, text_of(shapes))]
        self._store.scripts.run("register_strict", self._store.roots[0], [*pairs])
        with self._lock:
            self._unregistered -= set(telling)

    def fetch(self) -> None:
        """Learn what others have registered. Raises ServerError."""
        self.register()
        asked_at = time.monotonic()
        reply = self._store.command("HGETALL", self._key)
        found: dict[str, tuple[RowShape, ...]] = {}
        for name, text in zip(reply[::2], reply[1::2], strict=True):
            try:
                found[name.decode()] = read_shapes(text.decode())
            except ValueError:
                log.warning("%s in %s is no strict query of this release", name, self._key)
        with self._lock:
            self._learn(found)
            self._fetched_at = asked_at

    def keep_known(self) -> None:
        """Learn of others' from now on; at once, unless the server is away."""
        self.writes = True
        if not self.is_fresh:
            with contextlib.suppress(ServerError):
                self.fetch()

    def look(self) -> None:
        """Now and then: register anew what a server has lost, and learn of others'. Raises ServerError."""
        if not (self._own or self.writes):
            return
        asked_at = time.monotonic()
        survey = self.survey()
        lost = self._own.keys() - survey.registered
        if lost or asked_at >= self._refreshed_at + REFRESH_S:
            self._refreshed_at = asked_at
            with self._lock:
                self._unregistered |= self._own.keys()
            self.register()
        if survey.names <= self._known.keys():
            self._fetched_at = asked_at
        else:
            self.fetch()
        if lost or survey.waiting or survey.is_left():
            self.on_trouble()
        self._warn(survey)

    def _warn(self, survey: Survey) -> None:
        """Say now and then that queries of this process are still loaded past the cache."""
        late = {name for name, age_us in survey.waiting.items() if age_us > LATE_S * 1e6} & self._own.keys()
        if late and time.monotonic() > self._warned_at + LATE_S:
            self._warned_at = time.monotonic()
            log.warning(
                "strict queries are not in force after %g s, and so not cached: %s. Is there a process that "
                "knows their database (a scheduler, `track`), or a transaction that is open for so long?",
                LATE_S,
                ", ".join(sorted(name[len("!q:") :].partition("#")[0] for name in late)),
            )

    def survey(self) -> Survey:
        """What is not in force, and the barriers that are up. Raises ServerError."""
        reply = self._store.scripts.run("survey_strict", self._store.roots[0], [])
        return Survey.read(reply)

    def _learn(self, found: Mapping[str, tuple[RowShape, ...]]) -> None:
        # Never forgotten: a server that lost its data is told again by those whose queries they are.
        self._known |= found
        by_table: dict[str, dict[RowShape, None]] = {}
        for shape in (shape for shapes in self._known.values() for shape in shapes):
            by_table.setdefault(shape.table, {})[shape] = None
        self._by_table = {table: tuple(shapes) for table, shapes in by_table.items()}
