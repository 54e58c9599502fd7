"""Completing invalidations that somebody has left half-way, because he died or lost the server.

It is done all over, in every shard: nobody knows how far it had come, and doing it twice does no harm.
Schedulers look into all shards in turn. So does, more slowly, every other process: it is done without a
scheduler, too.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from warmer.errors import ServerError
from warmer.outbox.applying import BEGUN_BEFORE, Applying
from warmer.store.unfinished import Unfinished

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime

log = logging.getLogger("warmer")


class Completion:
    """What a process does of it: a look into one shard now and then, into another each time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._next = os.getpid()
        self._at_it = threading.Lock()

    def step(self) -> None:
        """Look into the next shard, unless the last look is still at it. Never raises."""
        if not self._at_it.acquire(blocking=False):
            return
        try:
            self._next += 1
            complete_unfinished(self._runtime, self._next % self._runtime.settings.shards)
        except ServerError as exc:
            log.debug("what invalidations have left half-way is looked for again later: %s", exc)
        finally:
            self._at_it.release()


def complete_unfinished(runtime: Runtime, shard: int) -> int:
    """Complete what has been left half-way and has its record in this shard; how many invalidations.

    Raises ServerError: what is left is taken up again later.
    """
    store, cursor, completed = runtime.store, b"0", 0
    while True:
        _, cursor, *found = store.scripts.run("take_over", store.roots[shard], [cursor])
        if found:
            one = Unfinished.taken_over(store, *(part.decode("utf-8", "surrogatepass") for part in found))
            completed += _complete(runtime, one)
        elif int(cursor) == 0:
            return completed


def _complete(runtime: Runtime, one: Unfinished) -> int:
    try:
        changes, stale_us = one.read()
    except ValueError as exc:
        text = "an invalidation that was left unfinished can't be completed by this release: %s"
        runtime.incidents.note("unfinished_unreadable", text, exc, about=one.id)
        return 0
    removed = Applying(runtime, changes, stale_us, unfinished=one, via=BEGUN_BEFORE).run()
    text = "completed an invalidation that its process had left unfinished; %d more values went"
    runtime.incidents.note("invalidations_completed", text, removed)
    return 1
