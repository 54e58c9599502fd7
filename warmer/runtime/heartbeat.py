"""What a process does at intervals: heartbeats of its loads, tallies of its reads, the server's clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from warmer.errors import ServerError
from warmer.runtime.incidents import Incidents
from warmer.store.operations import Lease, Store

log = logging.getLogger("warmer")


class Heartbeat:
    """Extends the leases of this process's loads, three times in a lease, until each load's own timeout.

    What the script refuses (past the timeout, or taken over after a pause) is let go: its commit will be
    refused.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: dict[str, Lease] = {}

    def hold(self, lease: Lease) -> None:
        """Keep this lease alive."""
        self._held[lease.token] = lease

    def drop(self, lease: Lease) -> None:
        """Its load has ended."""
        self._held.pop(lease.token, None)

    def held(self) -> list[Lease]:
        """The leases that are kept alive now."""
        return list(self._held.values())

    def beat(self) -> None:
        """Extend all of them once."""
        leases = self.held()
        if not leases:
            return
        for token, answer in self._store.extend(leases).items():
            if answer == "lost" and token in self._held:
                del self._held[token]
                log.info("a lease was lost while its load went on; what it loads will not be stored")


class Ticker:
    """Calls each of its jobs every so many seconds, on one daemon thread."""

    def __init__(self, jobs: list[tuple[float, Callable[[], None]]], incidents: Incidents) -> None:
        self._jobs, self._incidents = jobs, incidents
        self._next = [time.monotonic() + period for period, _ in jobs]
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, once."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="warmer-ticker", daemon=True)
                    self._thread.start()

    def stop(self) -> None:
        """End after the job at hand."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(max(0.0, min(self._next) - time.monotonic())):
            for i, (period, job) in enumerate(self._jobs):
                if self._next[i] > time.monotonic():
                    continue
                self._next[i] = time.monotonic() + period
                try:
                    job()
                except ServerError as exc:
                    name = getattr(job, "__name__", "a job")
                    self._incidents.note("ticks_failed", "%s will be tried again: %s", name, exc, about=name)
                except Exception:  # heartbeats must go on whatever another job does
                    log.exception("%s will be tried again", getattr(job, "__name__", "a job"))
