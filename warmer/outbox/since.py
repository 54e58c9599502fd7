"""Whether anybody else has stamped a name of an entry since a writer began: what decides about a value put.

A transaction's own application stamps the names, too, and hides what others have stamped. So it looks first,
in the same script, and from then on its own stamp is the one to compare with.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from warmer.store.scripts import Argument


@dataclass(slots=True, eq=False)
class Since:
    """Nobody else has stamped one of these names after `stamp`, as far as anybody has looked.

    stamp: 0 when somebody has, or nobody can say. clock_us: what the server's clock must have passed by, or
    it was set back, and `stamp`, if it was computed from that clock, says nothing.
    """

    shard: int
    names: Sequence[str]
    stamp: int
    clock_us: int = 0

    def arguments(self) -> list[Argument]:
        """As apply.lua takes it."""
        return [self.stamp, self.clock_us, len(self.names), *self.names]

    def looked(self, *, alone: bool, stamp: int) -> None:
        """A script has looked, and then stamped."""
        self.stamp, self.clock_us = (stamp, 0) if alone else (0, 0)


@dataclass(slots=True, eq=False)
class Watch:
    """A write that is open around transactions of its thread or task: what they apply is its own.

    began, put_at: by `time.monotonic`; put_at: when it was given a value, which comes from no transaction
    that begins later.
    """

    namespace: str
    since: Since
    began: float
    put_at: float | None = None
    over: bool = False
    owner: tuple[int, object] = (0, None)


_open: ContextVar[tuple[Watch, ...]] = ContextVar("warmer_open_writes", default=())


def _here() -> tuple[int, object]:
    """This thread, and this task of asyncio: others inherit the context, and write at the same time."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), task


def watch(one: Watch) -> None:
    """A write is open in this context from now on."""
    one.owner = _here()
    _open.set((*(other for other in _open.get() if not other.over), one))


def watches(namespace: str) -> tuple[Watch, ...]:
    """The writes that are open around what this thread or task begins now."""
    there = _open.get()
    if not there:
        return ()
    here = _here()
    return tuple(one for one in there if not one.over and one.namespace == namespace and one.owner == here)


def own(some: Iterable[Watch], began: float) -> list[Since]:
    """Those of these writes that a transaction which began then is still a part of."""
    return [one.since for one in some if not one.over and (one.put_at is None or began <= one.put_at)]


__all__ = ["Since", "Watch", "own", "watch", "watches"]
