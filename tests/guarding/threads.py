"""A test gives back the threads that Warmer started for it: they end with `close()`."""

from __future__ import annotations

import threading
import time

from tests.guarding.processes import ENDING_S
from warmer.testing.tether import THREAD_NAME


def of_warmer() -> frozenset[threading.Thread]:
    """The living threads of every runtime in this process."""
    return frozenset(
        thread
        for thread in threading.enumerate()
        if thread.name.startswith("warmer-") and thread.name != THREAD_NAME
    )


def left_behind(before: frozenset[threading.Thread]) -> list[str]:
    """The names of those that were started since `before` and do not end by themselves soon."""
    deadline = time.monotonic() + ENDING_S
    while (left := of_warmer() - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return sorted(thread.name for thread in left)
