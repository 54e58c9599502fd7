"""Which day it is in a data set that ends with 2013."""

from __future__ import annotations

import os
from datetime import date, datetime
from zoneinfo import ZoneInfo

__all__ = ["ZONE", "today"]

#: Where the airports are: their day begins when it does in New York.
ZONE = ZoneInfo("America/New_York")

_LEAP_DAY = (2, 29)


def today() -> date:
    """Today's date in New York, in 2013; FLIGHTS_TODAY (``2013-07-10``) says otherwise.

    Raises ValueError, naming the variable, when FLIGHTS_TODAY is no ISO date.
    """
    given = os.environ.get("FLIGHTS_TODAY")
    if given:
        try:
            return date.fromisoformat(given)
        except ValueError as wrong:
            raise ValueError(f"FLIGHTS_TODAY is {given!r}, expected a date such as 2013-07-10") from wrong
    now = datetime.now(ZONE)
    day = 28 if (now.month, now.day) == _LEAP_DAY else now.day
    return date(2013, now.month, day)
