"""How long results stay fresh, with one knob for a deployment that wants everything fresher."""

from __future__ import annotations

import os

__all__ = ["CAP_VARIABLE", "SLOW_WAIT_S", "fresh_for"]

#: How long a reader of a slow statistic waits for its load, in seconds. Each reported delay drops some of
#: these: on a busy machine two loads in a row may take longer than the usual 5 s, and late figures beat none.
SLOW_WAIT_S = 15

#: No ttl of this deployment is longer than so many seconds when it is set. The demo sets it, so that a minute
#: holds several expiries; it must be the same in every process, because it decides when entries fall due.
CAP_VARIABLE = "FLIGHTS_TTL_CAP"


def fresh_for(seconds: float) -> float:
    """A query's ttl in seconds: ``seconds``, or FLIGHTS_TTL_CAP (seconds) where that is less.

    Raises ValueError, naming the variable, when it is set to what is no number above 0.
    """
    given = os.environ.get(CAP_VARIABLE)
    if not given:
        return seconds
    try:
        cap = float(given)
    except ValueError:
        cap = 0.0
    if not cap > 0:
        raise ValueError(f"{CAP_VARIABLE} is {given!r}, expected a number of seconds above 0")
    return min(seconds, cap)
