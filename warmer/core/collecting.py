"""Decoding a large value without the cyclic collector coming in between.

Up to Python 3.11 the collector runs in the middle of whatever makes objects: while a few thousand rows are
decoded it looks at them a dozen times, moves them on to its older generations, and so comes to look at
everything else in the process, too. That takes longer than the decoding. From 3.12 on it waits by itself
until such a call is over; before, it is held here.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

Decode = Callable[[bytes | bytearray | memoryview], Any]

#: The collector comes after 700 new objects by default; a smaller value rarely has so many.
LARGE_BYTES = 8192
RUNS_IN_BETWEEN = sys.version_info < (3, 12)


def uninterrupted(decode: Decode) -> Decode:
    """The same, with the collector held for the time of a call.

    Where the decoder calls no Python code no other thread runs meanwhile; where it does, others do without
    the collector for these milliseconds, and one that turns it off for good just then is overruled.
    """

    def held(raw: bytes | bytearray | memoryview) -> Any:
        if not gc.isenabled():
            return decode(raw)
        gc.disable()
        try:
            return decode(raw)
        finally:
            gc.enable()

    return held if RUNS_IN_BETWEEN else decode
