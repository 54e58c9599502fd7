"""What an open transaction has changed so far, and which of them are open around a piece of code.

A savepoint has a frame of its own: what is rolled back with it is dropped with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

from warmer.core.changes import Changes
from warmer.runtime.modes import Past
from warmer.store.heard import Began

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from warmer.outbox.since import Watch
    from warmer.puts import Put


@dataclass(slots=True)
class Frame:
    """One savepoint's part, or the transaction's own. touched: primary keys of rows to look at again.

    hit: the names that it hits, as they were last told: see concerning.py.
    """

    savepoint: str | None
    changes: Changes = field(default_factory=Changes)
    touched: dict[Any, set[tuple[Any, ...]]] = field(default_factory=dict)
    hit: tuple[object, object, frozenset[str]] | None = None
    #: Values to be stored when it is committed, by the name of their entry: the last one of each counts.
    puts: dict[str, Put] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Pending:
    """One tracked transaction of a namespace."""

    namespace: str
    connection: ref[Connection]
    #: Before anything was read in it; None: it is not known when that was by the server's clock.
    began: Began | None
    #: Writes that were open around its beginning.
    watches: tuple[Watch, ...] = ()
    frames: list[Frame] = field(default_factory=lambda: [Frame(None)])
    #: Whether anything has been written in it: what is invalidated then must wait for its COMMIT.
    wrote: bool = False
    closed: bool = False
    locked: bool = False
    statement: Any = None
    #: What capture was last told of, before it ran; and whether triggers are told to leave that to it.
    clause: Any = None
    covering: bool = False
    #: Set when its outbox row is written.
    row: int = 0
    written: Changes | None = None
    #: The load that it began in, if it did.
    begun_in: Past | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, or its connection is lost: it will never be committed then."""
        connection = self.connection()
        return self.closed or connection is None or connection.closed or connection.invalidated

    @property
    def autocommit(self) -> bool:
        """Whether each of its statements is a transaction of its own."""
        connection = self.connection()
        return connection is not None and connection._is_autocommit_isolation()

    @property
    def puts(self) -> list[Put]:
        """Values to be stored when it is committed."""
        return [put for frame in self.frames for put in frame.puts.values()]

    def put(self, put: Put) -> None:
        """A value to be stored when it is committed; its entry is invalidated then, whatever comes of it."""
        self.changes.entries.add(put.hit)
        self.frames[-1].puts[put.hit.name] = put

    @property
    def changes(self) -> Changes:
        """Where the next change goes."""
        return self.frames[-1].changes

    def touch(self, table: Any, keys: set[tuple[Any, ...]]) -> None:
        """Rows whose values before the COMMIT must be looked at."""
        self.frames[-1].touched.setdefault(table, set()).update(keys)

    def savepoint(self, name: str) -> None:
        """A savepoint begins."""
        self.frames.append(Frame(name))

    def release(self, name: str) -> None:
        """A savepoint ends well: its part is its outer one's."""
        self._take_in(self._cut(name))

    def undo(self, name: str) -> None:
        """A savepoint is rolled back, with all that were begun inside it."""
        self._cut(name)

    def merged(self) -> Frame:
        """All that is left, as one."""
        inner, self.frames[1:] = self.frames[1:], []
        self._take_in(inner)
        return self.frames[0]

    def _take_in(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.changes.merge(frame.changes)
            for table, keys in frame.touched.items():
                self.touch(table, keys)
            self.frames[-1].puts.update(frame.puts)

    def _cut(self, name: str) -> list[Frame]:
        at = next((n for n, frame in enumerate(self.frames) if n and frame.savepoint == name), None)
        if at is None:
            return []
        cut, self.frames[at:] = self.frames[at:], []
        return cut


#: The tracked transactions that are open in this context.
_open: ContextVar[tuple[Pending, ...]] = ContextVar("warmer_open_transactions", default=())


def opened(pending: Pending) -> None:
    """A tracked transaction begins in this context."""
    _open.set((*(one for one in _open.get() if not one.over), pending))


def ended(pending: Pending) -> None:
    """It is committed, or rolled back."""
    pending.closed = True
    there = _open.get()
    if there:
        _open.set(tuple(one for one in there if not one.over))


def around(namespace: str) -> list[Pending]:
    """The tracked transactions of a namespace that are open around the caller."""
    return [one for one in _open.get() if not one.over and one.namespace == namespace]


def put_off(namespace: str, add: Callable[[Changes], object]) -> bool:
    """Put an invalidation into the outbox of the tracked transactions that are open around the caller.

    Whether that is all that is to be done. While a transaction has written nothing, the invalidation may be
    about something else, which is committed already: then it is made now, and again at the COMMIT.
    """
    waits = False
    for pending in around(namespace):
        add(pending.changes)
        waits = waits or pending.wrote
    return waits


__all__ = ["Frame", "Pending", "around", "ended", "opened", "put_off"]
