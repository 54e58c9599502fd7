"""What is asked for, which reported delay shows in which entry, and how new a value is.

Written down by hand, query by query, and not taken from what the queries declare: it is what checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tasks import flights
from tasks.desk import Reported
from warmer import Handle

__all__ = ["PLANS", "changes_in", "population", "shows", "touched"]

#: The plans that warm what is asked for; their entries in this order are the population, most popular first.
#: The carriers' month is left out: 16 more scans of all flights every few seconds, twice, are too many for
#: two cores.
PLANS = ("morning_boards", "watch_lists", "planes_of_the_day", "morning_airports")

_SHOWS: Mapping[str, Callable[[Mapping[str, Any], Reported], bool]] = {
    "boards.departures": lambda params, flight: (
        (params["origin"], params["day"]) == (flight.origin, flight.day)
    ),
    "watching.watch_list": lambda params, flight: params["user_id"] in flight.watchers,
    "planes.history": lambda params, flight: params["tailnum"] == flight.tailnum,
    "carriers.delays": lambda params, flight: (
        (params["carrier"], params["month"]) == (flight.carrier, flight.month)
    ),
    "carriers.punctuality": lambda params, flight: (
        (params["origin"], params["month"]) == (flight.origin, flight.month)
    ),
    "delays.weather": lambda params, flight: (
        (params["origin"], params["month"]) == (flight.origin, flight.month)
    ),
    "delays.worst_days": lambda params, flight: params["origin"] == flight.origin,
    "routes.busiest": lambda params, flight: params["month"] == flight.month,
}


def population() -> list[Handle[Any]]:
    """Every entry that the plans warm, the most popular first; the same in each process on one database."""
    __import__("schedules.mornings")
    __import__("schedules.screens")
    return [handle for plan in PLANS for handle in flights.find_plan(plan).entries()]


def shows(query: str, params: Mapping[str, Any], flight: Reported) -> bool:
    """Whether a delay of this flight changes the entry. Raises KeyError for an unknown query."""
    return _SHOWS[query](params, flight)


def touched(entries: Iterable[Handle[Any]], flight: Reported) -> list[int]:
    """The places in the population of the entries that a delay of this flight changes."""
    return [place for place, one in enumerate(entries) if shows(one.query, one.params, flight)]


def changes_in(value: Any) -> int:
    """How many reported delays a value holds: the sum of its flights' revisions, which only grow."""
    if isinstance(value, list):
        return sum(row.revision for row in value)
    return int(value.corrections)
