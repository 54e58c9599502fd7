"""Purging: shared caches are told what has changed, by one thread of the process, and told again if need be.

An invalidation waits for its purge for a bounded time; a changed refresh doesn't wait. What comes together is
sent together. Each purge is sent a second time after a while: a response that was made of the old value may
have been on its way while the first was carried out, and the cache keeps what arrives after a purge.

A purge that fails is repeated with growing pauses, then given up: logged with its keys and counted. The cache
holds what it has until its time is over, then: that is why it's given one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from warmer.core.names import is_owner
from warmer.errors import show
from warmer.http.answer import SURROGATE, Dialect
from warmer.http.keys import surrogate_key
from warmer.runtime.contract import Loadable

log = logging.getLogger("warmer")

# Pauses of 0.1, 0.2, ... up to 5 s: given up after half a minute, when many a restart is over.
FIRST_PAUSE_S, LONGEST_PAUSE_S, MOST_TRIES = 0.1, 5.0, 10
# What is over is given up at once: a cache that is away must not fill the memory of those who write.
MOST_KEYS = 20_000
_SHOWN = 10


class Purger(Protocol):
    """Tells a shared cache to drop responses. May have a `dialect` (`SURROGATE` if not): see `Dialect`."""

    def purge(self, keys: Sequence[str], /) -> None:
        """Drop every response that carries any of these keys; blocks until it's done.

        Raises anything when that is not certain: it's called again, perhaps with more keys.
        """


class Purges:
    """What is to be purged, and the thread that does it. Made once a process."""

    def __init__(
        self, purger: Purger, namespace: str, count: Callable[..., None], *, wait_s: float, again_s: float
    ) -> None:
        """count: called with an event's name, and how many. wait_s, again_s: `purge_wait`, `purge_again`."""
        self.dialect: Dialect = getattr(purger, "dialect", SURROGATE)
        self._purger, self._namespace, self._count = purger, namespace, count
        self._wait_s, self.again_s = wait_s, again_s
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pending: dict[str, None] = {}
        self._again: dict[str, float] = {}  # when each is sent a second time
        self._asked = self._done = self._tries = 0
        self._retry_at = 0.0
        self._closed = False

    def key_of(self, name: str) -> str:
        """The surrogate key of one of this namespace's names."""
        return surrogate_key(self._namespace, name)

    def now(self, names: Iterable[str]) -> None:
        """Purge what stands under these names, and wait for it: until it's done or has failed, bounded."""
        ticket = self.soon(names)
        with self._changed:
            self._changed.wait_for(
                lambda: self._done >= ticket or self._tries > 0 or self._closed, timeout=self._wait_s
            )

    def soon(self, names: Iterable[str]) -> int:
        """Purge what stands under these names, without waiting. What is private is in no shared cache."""
        keys = [self.key_of(name) for name in names if not is_owner(name)]
        with self._changed:
            if not keys or self._closed:
                return self._done
            if len(self._pending) + len(keys) > MOST_KEYS:
                self._give_up(keys, "too many are waiting")
                return self._done
            self._pending.update(dict.fromkeys(keys))
            self._asked += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="warmer-purges", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._asked

    def replaced(self, query: Loadable, names: Sequence[str]) -> None:
        """Purge an entry whose refresh has found another result; its own name is the first."""
        if not query.options.sensitive and not any(map(is_owner, names)):
            self.soon(names[:1])

    def close(self) -> None:
        """Send what is left once more, at once, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=self._wait_s + LONGEST_PAUSE_S)

    # -- on its own thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while (wait_s := self._idle_s()) > 0:
                    self._changed.wait(timeout=wait_s)
                batch, upto, ends = self._take(), self._asked, self._closed
            if batch:
                self._send(batch, upto)
            if ends:
                self._end()
                return

    def _idle_s(self) -> float:
        """How long there is nothing to do."""
        if self._closed:
            return 0.0
        now = time.monotonic()
        due_at = min(self._again.values(), default=now + 3600.0)
        if self._pending:
            due_at = now
        return max(due_at, self._retry_at) - now

    def _take(self) -> dict[str, bool]:
        """What is to be sent; whether it's the first time."""
        now = time.monotonic()
        again = [key for key, at in self._again.items() if at <= now or self._closed]
        batch = dict.fromkeys(again, False) | dict.fromkeys(self._pending, True)
        self._pending.clear()
        for key in again:
            del self._again[key]
        return batch

    def _send(self, batch: Mapping[str, bool], upto: int) -> None:
        try:
            self._purger.purge(list(batch))
        except Exception as exc:  # noqa: BLE001 - whatever a purger raises: it's told, and tried again
            self._failed(batch, exc)
            return
        self._count("purges")
        with self._changed:
            if self._tries:
                log.info("purging works again")
            self._done, self._tries, self._retry_at = upto, 0, 0.0
            if self.again_s and not self._closed:
                again_at = time.monotonic() + self.again_s
                self._again.update((key, again_at) for key, first in batch.items() if first)
            self._changed.notify_all()

    def _failed(self, batch: Mapping[str, bool], exc: Exception) -> None:
        self._count("purges_failed")
        with self._changed:
            self._tries += 1
            why = show(exc, 300)
            if self._tries == 1:
                log.warning("purging %d keys failed and is tried again: %s", len(batch), why)
            pause_s = min(FIRST_PAUSE_S * 2 ** (self._tries - 1), LONGEST_PAUSE_S)
            self._retry_at = time.monotonic() + pause_s
            if self._tries % MOST_TRIES == 0 or self._closed:
                self._give_up(list(batch), why)
            else:
                self._pending = dict.fromkeys(batch) | self._pending
            self._changed.notify_all()

    def _end(self) -> None:
        with self._changed:
            if self._pending:
                self._give_up(list(self._pending), "the process ends")

    def _give_up(self, keys: Sequence[str], why: str) -> None:
        self._count("purges_lost", len(keys))
        shown = ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")
        log.error(
            "%d keys were not purged (%s); caches may hold what carries them until its time is over: %s",
            len(keys), why, shown,
        )  # fmt: skip
