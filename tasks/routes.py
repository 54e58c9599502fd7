"""Which routes are flown most."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Float, cast, func, select
from sqlalchemy.orm import Session

from tasks import flights
from tasks.db import read_session
from tasks.freshness import SLOW_WAIT_S, fresh_for
from tasks.models import Airport, Flight

__all__ = ["BusiestRoutes", "Route", "busiest_routes"]


@dataclass(frozen=True, slots=True)
class Route:
    """A route in a month. ``mean_arr_delay_min`` is None when nothing on it has arrived."""

    rank: int
    origin: str
    dest: str
    dest_name: str
    departures: int
    mean_arr_delay_min: float | None


@dataclass(frozen=True, slots=True)
class BusiestRoutes:
    """The top of a month's routes, out of ``routes_flown``; ``corrections`` is of all the month's flights."""

    month: int
    routes_flown: int
    corrections: int
    top: tuple[Route, ...]


@flights.cached(
    ttl=fresh_for(3600),
    name="routes.busiest",
    version="1",
    depends_on={Flight: ("month",), Airport: ()},
    resources={"session": read_session},
    wait=SLOW_WAIT_S,
)
def busiest_routes(session: Session, month: int, top: int = 20) -> BusiestRoutes:
    """The routes with the most departures in a month (1 to 12), the busiest first; at most ``top`` of them.

    For planning gates and staff. Scans all of flights: no index helps, which is why it is kept.
    A month without flights gives an empty list.
    """
    flown = (
        select(
            Flight.origin,
            Flight.dest,
            func.count().label("departures"),
            cast(func.avg(Flight.arr_delay_min), Float).label("mean_arr_delay_min"),
            func.count().over().label("routes_flown"),
            func.sum(func.sum(Flight.revision)).over().label("corrections"),
        )
        .where(Flight.month == month)
        .group_by(Flight.origin, Flight.dest)
        .order_by(func.count().desc(), Flight.origin, Flight.dest)
        .limit(top)
        .subquery()
    )
    named = (
        select(flown, func.coalesce(Airport.name, flown.c.dest).label("dest_name"))
        .outerjoin(Airport, Airport.faa == flown.c.dest)
        .order_by(flown.c.departures.desc(), flown.c.origin, flown.c.dest)
    )
    rows = session.execute(named).all()
    return BusiestRoutes(
        month=month,
        routes_flown=rows[0].routes_flown if rows else 0,
        corrections=int(rows[0].corrections) if rows else 0,
        top=tuple(
            Route(rank, row.origin, row.dest, row.dest_name, row.departures, row.mean_arr_delay_min)
            for rank, row in enumerate(rows, start=1)
        ),
    )
