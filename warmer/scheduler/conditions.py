"""Servers that come and go: one line in the log for each change, however often they are tried."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger("warmer")


class Condition:
    """Whether something works, as of the last try."""

    def __init__(self, works: str) -> None:
        """works: what the log says when it does so again, as in "the broker answers"."""
        self._works = works
        self._lock = threading.Lock()
        self._bad_since: float | None = None

    @property
    def good(self) -> bool:
        """Whether the last try went well (or there was none)."""
        return self._bad_since is None

    def worked(self) -> None:
        """It went well."""
        if self._bad_since is None:
            return
        with self._lock:
            since, self._bad_since = self._bad_since, None
        if since is not None:
            log.warning("%s again, after %.1f s", self._works, time.monotonic() - since)

    def failed(self, reason: object) -> None:
        """It did not, for this reason."""
        with self._lock:
            first, self._bad_since = self._bad_since is None, self._bad_since or time.monotonic()
        if first:
            log.warning("%s", reason)
