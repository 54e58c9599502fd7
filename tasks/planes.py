"""What single aircraft have flown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from tasks import flights
from tasks.db import read_session
from tasks.freshness import fresh_for
from tasks.models import Flight, Plane

__all__ = ["Leg", "PlaneHistory", "plane_history"]


@dataclass(frozen=True, slots=True)
class Leg:
    """One flight of a plane. ``departs`` is local; what is not known yet (or never was) is None."""

    departs: datetime
    flight: str
    origin: str
    dest: str
    dep_delay_min: int | None
    arr_delay_min: int | None
    air_time_min: int | None
    distance_mi: int


@dataclass(frozen=True, slots=True)
class PlaneHistory:
    """A plane and its legs, the newest first. ``built`` is a year. What is not known of a plane is None."""

    tailnum: str
    manufacturer: str | None
    model: str | None
    seats: int | None
    built: int | None
    legs: tuple[Leg, ...]
    corrections: int


@flights.cached(
    ttl=fresh_for(300),
    name="planes.history",
    version="1",
    depends_on={Flight: ("tailnum",), Plane: ("tailnum",)},
    resources={"session": read_session},
)
def plane_history(session: Session, tailnum: str) -> PlaneHistory:
    """All of 2013's departures of one plane (``N725MQ``), the newest first, with what is known of the plane.

    For the gate agent who is asked why the plane is late again. Reads a few hundred rows through an index.
    An unknown tail number gives a history without legs.
    """
    flown = session.execute(_flown_by(tailnum)).all()
    plane = flown[0] if flown else None
    return PlaneHistory(
        tailnum=tailnum,
        manufacturer=plane.manufacturer if plane else None,
        model=plane.model if plane else None,
        seats=plane.seats if plane else None,
        built=plane.built if plane else None,
        legs=tuple(
            Leg(
                departs=leg.departs,
                flight=f"{leg.carrier} {leg.number}",
                origin=leg.origin,
                dest=leg.dest,
                dep_delay_min=leg.dep_delay_min,
                arr_delay_min=leg.arr_delay_min,
                air_time_min=leg.air_time_min,
                distance_mi=leg.distance_mi,
            )
            for leg in flown
        ),
        corrections=sum(leg.revision for leg in flown),
    )


def _flown_by(tailnum: str) -> Select[*tuple[Any, ...]]:
    """The plane's flights, the newest first, each with what is known of the plane."""
    return (
        select(
            Flight.departs,
            Flight.carrier,
            Flight.number,
            Flight.origin,
            Flight.dest,
            Flight.dep_delay_min,
            Flight.arr_delay_min,
            Flight.air_time_min,
            Flight.distance_mi,
            Flight.revision,
            Plane.manufacturer,
            Plane.model,
            Plane.seats,
            Plane.built,
        )
        .outerjoin(Plane, Plane.tailnum == Flight.tailnum)
        .where(Flight.tailnum == tailnum)
        .order_by(Flight.departs.desc(), Flight.id)
    )
