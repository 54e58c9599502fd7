"""How punctual the carriers are.

Late means what the Department of Transportation counts as late: 15 minutes or more. A cancelled flight has no
delay, and is counted by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from sqlalchemy import ColumnElement, Float, Integer, Subquery, case, cast, extract, func, select
from sqlalchemy.orm import Session

from tasks import flights
from tasks.db import read_session
from tasks.freshness import SLOW_WAIT_S, fresh_for
from tasks.models import Airline, Flight

__all__ = ["LATE_MIN", "CarrierDelays", "DayOfDelays", "PartOfDay", "Punctuality", "Standing"]
__all__ += ["carrier_delays", "punctuality"]

#: From how many minutes on a departure is late.
LATE_MIN = 15

PartOfDay = Literal["morning", "afternoon", "evening"]


@dataclass(frozen=True, slots=True)
class DayOfDelays:
    """One day of a carrier. Delays are in minutes, of the flights that left: None when none did.

    ``p90_delay_min`` is the smallest delay that at least 90 % of them did not exceed.
    """

    day: date
    departures: int
    cancelled: int
    late: int
    mean_delay_min: float | None
    p90_delay_min: int | None


@dataclass(frozen=True, slots=True)
class CarrierDelays:
    """A month of a carrier, day by day. ``corrections`` is of all its flights of the month."""

    carrier: str
    month: int
    days: tuple[DayOfDelays, ...]
    corrections: int


@flights.cached(
    ttl=fresh_for(900),
    name="carriers.delays",
    version="1",
    depends_on={Flight: ("carrier", "month")},
    resources={"session": read_session},
    wait=SLOW_WAIT_S,
)
def carrier_delays(session: Session, carrier: str, month: int) -> CarrierDelays:
    """Delays of a carrier (``UA``) in a month (1 to 12), day by day, with the 90th percentile.

    For the daily call with the carriers. Scans all of flights. A carrier without flights gives no days.
    """
    spread = _delays_in_order(carrier, month)
    delay = spread.c.delay_min
    enough = spread.c.place >= 0.9 * spread.c.left_at_all
    by_day = (
        select(
            spread.c.day,
            func.count().label("departures"),
            func.count().filter(delay.is_(None)).label("cancelled"),
            func.count().filter(delay >= LATE_MIN).label("late"),
            cast(func.avg(delay), Float).label("mean_delay_min"),
            func.min(delay).filter(enough).label("p90_delay_min"),
            func.sum(spread.c.revision).label("corrections"),
        )
        .group_by(spread.c.day)
        .order_by(spread.c.day)
    )
    rows = session.execute(by_day).all()
    return CarrierDelays(
        carrier=carrier,
        month=month,
        days=tuple(
            DayOfDelays(
                row.day, row.departures, row.cancelled, row.late, row.mean_delay_min, row.p90_delay_min
            )
            for row in rows
        ),
        corrections=sum(row.corrections for row in rows),
    )


def _delays_in_order(carrier: str, month: int) -> Subquery:
    """A carrier's month; ``place`` numbers the flights that left within their day, shortest delay first."""
    shortest_first = Flight.dep_delay_min.asc().nulls_last()
    return (
        select(
            Flight.day,
            Flight.dep_delay_min.label("delay_min"),
            Flight.revision,
            func.row_number().over(partition_by=Flight.day, order_by=shortest_first).label("place"),
            func.count(Flight.dep_delay_min).over(partition_by=Flight.day).label("left_at_all"),
        )
        .where(Flight.carrier == carrier, Flight.month == month)
        .subquery()
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """A carrier's place in one part of the day; rank 1 is the most punctual, equals share a rank.

    ``on_time_share`` is of the flights that left, from 0 to 1; None when none did.
    """

    part_of_day: PartOfDay
    rank: int
    carrier: str
    airline: str
    departures: int
    on_time_share: float | None


@dataclass(frozen=True, slots=True)
class Punctuality:
    """A month's ranking of an airport; ``corrections`` is of all its flights of the month."""

    origin: str
    month: int
    standings: tuple[Standing, ...]
    corrections: int


@flights.cached(
    ttl=fresh_for(1800),
    name="carriers.punctuality",
    version="1",
    depends_on={Flight: ("origin", "month"), Airline: ()},
    resources={"session": read_session},
    wait=SLOW_WAIT_S,
)
def punctuality(session: Session, origin: str, month: int) -> Punctuality:
    """The carriers of an airport (EWR, JFK, LGA) ranked by share on time, by part of the day.

    Morning is before 12:00, evening from 18:00 on, local time. For the monthly review with the carriers.
    """
    part = _part_of_day().label("part")
    on_time = case((Flight.dep_delay_min < LATE_MIN, 1.0), (Flight.dep_delay_min >= LATE_MIN, 0.0))
    standings = (
        select(
            part,
            Flight.carrier,
            func.count().label("departures"),
            cast(func.avg(on_time), Float).label("on_time_share"),
            func.sum(Flight.revision).label("corrections"),
        )
        .where(Flight.origin == origin, Flight.month == month)
        .group_by(part, Flight.carrier)
        .subquery()
    )
    best_first = standings.c.on_time_share.desc().nulls_last()
    ranked = (
        select(
            standings,
            Airline.name,
            func.rank().over(partition_by=standings.c.part, order_by=best_first).label("rank"),
        )
        .join(Airline, Airline.carrier == standings.c.carrier)
        .order_by(standings.c.part, best_first, standings.c.carrier)
    )
    rows = session.execute(ranked).all()
    return Punctuality(
        origin=origin,
        month=month,
        standings=tuple(
            Standing(_PARTS[row.part], row.rank, row.carrier, row.name, row.departures, row.on_time_share)
            for row in rows
        ),
        corrections=sum(row.corrections for row in rows),
    )


_PARTS: tuple[PartOfDay, ...] = ("morning", "afternoon", "evening")


def _part_of_day() -> ColumnElement[int]:
    """The index in ``_PARTS`` of a flight's scheduled hour."""
    hour = cast(extract("hour", Flight.departs), Integer)
    return case((hour < 12, 0), (hour < 18, 1), else_=2)
