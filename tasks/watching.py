"""Somebody's own list of flights. Private: it is kept, and given, under its owner's id only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from tasks import flights
from tasks.db import read_session
from tasks.freshness import fresh_for
from tasks.models import Flight, Watch

__all__ = ["Watched", "watch_list"]


@dataclass(frozen=True, slots=True)
class Watched:
    """A flight on a list. Local time; ``delay_min`` is None for a flight that has not left, or never did."""

    flight_id: int
    departs: datetime
    flight: str
    origin: str
    dest: str
    delay_min: int | None
    revision: int


@flights.cached(
    ttl=fresh_for(60),
    name="watching.watch_list",
    version="1",
    scope="user_id",
    depends_on={Watch: ("user_id",)},
    resources={"session": read_session},
)
def watch_list(session: Session, user_id: int) -> list[Watched]:
    """The flights that one user keeps an eye on, in order of departure.

    Private to ``user_id``. Empty for a user who watches nothing. Reads a handful of rows by their keys.
    No column of a flight says who watches it, so each list is tagged with its flights.
    """
    chosen = (
        select(Flight)
        .join(Watch, Watch.flight_id == Flight.id)
        .where(Watch.user_id == user_id)
        .order_by(Flight.departs, Flight.id)
    )
    watched = session.scalars(chosen).all()
    flights.tag(*(f"flight:{flight.id}" for flight in watched))
    return [
        Watched(
            flight_id=flight.id,
            departs=flight.departs,
            flight=f"{flight.carrier} {flight.number}",
            origin=flight.origin,
            dest=flight.dest,
            delay_min=flight.dep_delay_min,
            revision=flight.revision,
        )
        for flight in watched
    ]
