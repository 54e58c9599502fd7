"""A sync read inside a running event loop: it works, and everything else on that loop stands still meanwhile.

Looked for where a read has to wait for a load, never on a hit: a hit blocks for one GET, and costs as
little as it does because nothing is asked on its way.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import TYPE_CHECKING

from warmer.errors.notices import WarmerWarning

if TYPE_CHECKING:
    from warmer.runtime.process import Runtime


def in_loop() -> bool:
    """Whether this thread runs an event loop."""
    return asyncio._get_running_loop() is not None  # a thousand threads ask: an error each would be dear


def warn_in_loop(runtime: Runtime, query: str, method: str) -> None:
    """Warn if this thread runs an event loop: once for each place in the code that calls.

    method: what the caller should await instead.
    """
    if not in_loop():
        return
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("warmer."):
        frame = frame.f_back
    site = (query, frame.f_code.co_filename, frame.f_lineno)
    runtime.counts.add("loops_blocked")
    if site in runtime.incidents.warned:
        return
    runtime.incidents.warned.add(site)
    text = f"a read of {query} waits for a load inside a running event loop, which stands still meanwhile. "
    warnings.warn_explicit(
        text + f"Write `await {query.rpartition('.')[2]}.{method}(...)` there.",
        WarmerWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=frame.f_globals.get("__name__"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )
