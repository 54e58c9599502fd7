"""Running a plan's generator in a worker, on a thread of its own, and feeding what it yields at its pace.

The run's lease is held by a heartbeat beside the generator, which may be busy for long. If this process
dies, the lease runs out, the run is due again, and another worker runs the generator from its beginning:
what had been fed is not fed again, and what had been loaded is not loaded again. If this process was only
paused, it finds its lease lost and stops.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from warmer.core.keys import EntryKey, keyspace
from warmer.core.pace import Rate, Soon
from warmer.errors import NotAnEntry, ServerError, mask, show
from warmer.handle import Handle
from warmer.plans import Plan
from warmer.runs.records import Counts, Records

if TYPE_CHECKING:
    from warmer.namespace import Warmer

log = logging.getLogger("warmer")
_T = TypeVar("_T")

# A generator that gives nothing for this long hangs: its run has failed, and the plan's next one may begin.
STALL_S = 600.0
# What is fed at once and not settled: 4 s of the run's own progress, so that what is read goes before it.
LEAST_OUTSTANDING, HORIZON_S, WINDOW_S = 32, 4.0, 8.0
_POLL_S = 0.1
_RETRY_S = 0.5


class _Stopped(Exception):
    """The drive is to end without a word: its process stops, or another worker has its run."""


class Drive:
    """One attempt at a run, under the lease of `token`."""

    def __init__(self, namespace: Warmer, run: str, token: str, plan: Plan) -> None:
        self.run, self._token, self._plan = run, token, plan
        self._namespace = namespace
        self._records = Records(namespace.runtime().store)
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._rate = Rate(plan.rate_per_s)
        self._soon = Soon(LEAST_OUTSTANDING, HORIZON_S, WINDOW_S)
        self._counts: dict[int, Counts] = {}
        self._progressed = False
        self._asked_at: float | None = None  # when the generator was asked for what it has not given yet

    def start(self) -> None:
        """Begin, on two threads with empty contexts: nothing of the caller's leaks into the plan."""
        for work, name in ((self._feed_all, "run"), (self._beat, "run-heartbeat")):
            threading.Thread(
                target=contextvars.Context().run,
                args=(work,),
                name=f"warmer-{name}-{self._plan.name}",
                daemon=True,
            ).start()

    @property
    def ended(self) -> bool:
        """Whether it feeds no more."""
        return self._ended.is_set()

    def stop(self) -> None:
        """Feed no more, and let another worker go on at once. Raises ServerError."""
        self._stopped.set()
        if not self.ended:
            self._records.release(self.run, self._token)

    # -- the generator's thread

    def _feed_all(self) -> None:
        try:
            error = self._drive()
            self._insist(lambda: self._records.close(self.run, self._token, error))
        except _Stopped:
            log.info("the run %s of the plan %s goes on in another worker", self.run, self._plan.name)
        finally:
            self._ended.set()

    def _drive(self) -> str:
        """Feed what the generator yields; what ended it early, masked, "" for nothing."""
        try:
            for entry in self._entries():
                self._wait_for_room()
                self._feed(entry)
        except _Stopped:
            raise
        except BaseException as exc:
            log.warning("the plan %s failed in its run %s", self._plan.name, self.run, exc_info=exc)
            return f"{type(exc).__name__}: {mask(str(exc), 500)}"
        return ""

    def _entries(self) -> Iterator[EntryKey]:
        self._asked_at = time.monotonic()
        for handle in self._plan.entries():
            self._asked_at = None
            if self._stopped.is_set():
                raise _Stopped
            yield self._entry_of(handle)
            self._asked_at = time.monotonic()
        self._asked_at = None

    def _entry_of(self, handle: Any) -> EntryKey:
        if not isinstance(handle, Handle):
            raise NotAnEntry(self._plan.name, show(handle))
        entry = handle.entry_key
        if not entry.key.startswith(keyspace(self._namespace.namespace, entry.shard).root):
            raise NotAnEntry(self._plan.name, f"{show(handle)} of another namespace")
        return entry

    def _wait_for_room(self) -> None:
        """Until the rate allows the next one, and the workers are through with most of the earlier ones."""
        while (wait_s := self._rate.wait_s(time.monotonic())) > 0:
            self._pause(wait_s)
        while sum(counts.outstanding for counts in self._counts.values()) >= self._soon.most:
            counts = self._insist(lambda: self._records.counts(self.run))
            self._soon.note(time.monotonic(), counts.done + counts.failed)
            self._counts = {0: counts}
            if counts.outstanding >= self._soon.most:
                self._pause(_POLL_S)

    def _feed(self, entry: EntryKey) -> None:
        added, counts = self._insist(lambda: self._records.feed(self.run, entry.shard, [entry]))
        if added:
            self._rate.took(time.monotonic())
            self._counts[entry.shard] = counts
            self._progressed = True

    def _insist(self, call: Callable[[], _T]) -> _T:
        """The result of a call that may be repeated: while the server is away, again and again."""
        while True:
            try:
                return call()
            except ServerError as exc:
                log.debug("the run %s waits for the server: %s", self.run, exc)
                self._pause(_RETRY_S)

    def _pause(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _Stopped

    # -- the heartbeat's thread

    def _beat(self) -> None:
        period_s = self._namespace.settings.lease / 3
        while not self._ended.wait(period_s) and not self._stopped.is_set():
            progressed, self._progressed = self._progressed, False
            try:
                if self._stalls():
                    self._give_up()
                elif not self._records.extend(self.run, self._token, progressed=progressed):
                    self._stopped.set()
            except ServerError as exc:
                self._progressed |= progressed
                log.debug("the heartbeat of the run %s was not heard: %s", self.run, exc)

    def _stalls(self) -> bool:
        asked_at = self._asked_at
        return asked_at is not None and time.monotonic() - asked_at > STALL_S

    def _give_up(self) -> None:
        log.warning(
            "the plan %s has yielded nothing for %g s; its run %s ends", self._plan.name, STALL_S, self.run
        )
        self._records.close(self.run, self._token, f"Stalled: its generator gave nothing for {STALL_S:g} s")
        self._stopped.set()


def new_token() -> str:
    """What a lease of a run is known by."""
    return uuid.uuid4().hex[:16]
