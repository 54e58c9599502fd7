"""What goes wrong beside the reads: each kind counted every time, and logged now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger("warmer")

# One line of a kind in so many seconds: an outage must not become the disk's outage, too.
EVERY_S = 10.0


class Incidents:
    """Counts and logs degraded paths. From any thread."""

    def __init__(self, count: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._count, self._clock = count, clock
        self._lock = threading.Lock()
        self.warned: set[tuple[str, str, int]] = set()  # see warmer/runtime/blocking.py
        self.around_before = 0  # reads that had gone around the server when it was last lost
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}

    def note(
        self, kind: str, text: str, *args: Any, about: str = "", exc: BaseException | None = None
    ) -> None:
        """Count `kind`, and log the text at WARNING unless one of this kind was logged in the last 10 s.

        about: what a line is wanted of for itself, e.g. a query: what fails in one must not hide another.
        exc: has its traceback logged. What was not logged is counted in the next line.
        """
        self._count(kind)
        now, at = self._clock(), (kind, about)
        with self._lock:
            last, held_back = self._logged.get(at, (-EVERY_S, 0))
            if now < last + EVERY_S:
                self._logged[at] = (last, held_back + 1)
                return
            self._logged[at] = (now, 0)
        if held_back:
            text, args = f"{text} (%d more like it since the last such line)", (*args, held_back)
        log.warning(text, *args, exc_info=exc)
