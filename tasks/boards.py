"""Departures boards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tasks import flights
from tasks.db import read_session
from tasks.freshness import fresh_for
from tasks.models import Airline, Airport, Flight

__all__ = ["Departure", "departures"]


@dataclass(frozen=True, slots=True)
class Departure:
    """A line of a board. Local time; ``delay_min`` is None for a flight that has not left, or never did."""

    flight_id: int
    scheduled: datetime
    flight: str
    airline: str
    dest: str
    dest_name: str
    delay_min: int | None
    revision: int


@flights.cached(
    ttl=fresh_for(60),
    name="boards.departures",
    version="1",
    depends_on={Flight: ("origin", "day"), Airline: (), Airport: ()},
    resources={"session": read_session},
)
def departures(session: Session, origin: str, day: date) -> list[Departure]:
    """The departures board of one airport (EWR, JFK, LGA) and local day, in order of scheduled time.

    On every screen of the terminal: if it is slow or old, passengers see it first.
    Reads 1 airport's day through an index, about 350 flights. Changed by each reported delay of that day.
    """
    board = (
        select(
            Flight.id,
            Flight.departs,
            Flight.carrier,
            Flight.number,
            Airline.name.label("airline"),
            Flight.dest,
            func.coalesce(Airport.name, Flight.dest).label("dest_name"),
            Flight.dep_delay_min,
            Flight.revision,
        )
        .join(Airline, Airline.carrier == Flight.carrier)
        .outerjoin(Airport, Airport.faa == Flight.dest)
        .where(Flight.origin == origin, Flight.day == day)
        .order_by(Flight.departs, Flight.id)
    )
    return [
        Departure(
            flight_id=row.id,
            scheduled=row.departs,
            flight=f"{row.carrier} {row.number}",
            airline=row.airline,
            dest=row.dest,
            dest_name=row.dest_name,
            delay_min=row.dep_delay_min,
            revision=row.revision,
        )
        for row in session.execute(board)
    ]
