"""What makes an airport late: its weather, and its worst days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Float, Subquery, and_, case, cast, func, select
from sqlalchemy.orm import Session

from tasks import flights
from tasks.carriers import LATE_MIN
from tasks.db import read_session
from tasks.freshness import SLOW_WAIT_S, fresh_for
from tasks.models import Flight, Weather

__all__ = ["WeatherBand", "WeatherDelays", "WorstDay", "WorstDays", "weather_delays", "worst_days"]


@dataclass(frozen=True, slots=True)
class WeatherBand:
    """The departures in one kind of weather. Delays are of those that left: None when none did.

    ``p90_delay_min`` is the smallest delay that at least 90 % of them did not exceed.
    """

    weather: str
    departures: int
    cancelled: int
    late: int
    mean_delay_min: float | None
    p90_delay_min: int | None


@dataclass(frozen=True, slots=True)
class WeatherDelays:
    """A month of an airport by weather; ``corrections`` is of all its flights of the month."""

    origin: str
    month: int
    bands: tuple[WeatherBand, ...]
    corrections: int


#: From worst to best. Below 3 miles of visibility aircraft fly by instruments; from 25 mph on runways change.
_BANDS = ("low visibility", "strong wind", "rain", "fair", "unknown")


@flights.cached(
    ttl=fresh_for(3600),
    name="delays.weather",
    version="1",
    depends_on={Flight: ("origin", "month"), Weather: ("origin",)},
    resources={"session": read_session},
    wait=SLOW_WAIT_S,
)
def weather_delays(session: Session, origin: str, month: int) -> WeatherDelays:
    """Delays of an airport (EWR, JFK, LGA) in a month, by the weather in the hour of departure.

    For the duty manager who is asked how bad the afternoon will be. Joins flights with their hour's weather.
    A flight is counted in the worst band that applies; "unknown" where that hour was not observed.
    """
    spread = _delays_by_weather(origin, month)
    delay = spread.c.delay_min
    enough = spread.c.place >= 0.9 * spread.c.left_at_all
    by_band = (
        select(
            spread.c.band,
            func.count().label("departures"),
            func.count().filter(delay.is_(None)).label("cancelled"),
            func.count().filter(delay >= LATE_MIN).label("late"),
            cast(func.avg(delay), Float).label("mean_delay_min"),
            func.min(delay).filter(enough).label("p90_delay_min"),
            func.sum(spread.c.revision).label("corrections"),
        )
        .group_by(spread.c.band)
        .order_by(spread.c.band)
    )
    rows = session.execute(by_band).all()
    return WeatherDelays(
        origin=origin,
        month=month,
        bands=tuple(
            WeatherBand(
                _BANDS[row.band],
                row.departures,
                row.cancelled,
                row.late,
                row.mean_delay_min,
                row.p90_delay_min,
            )
            for row in rows
        ),
        corrections=sum(row.corrections for row in rows),
    )


def _delays_by_weather(origin: str, month: int) -> Subquery:
    """An airport's month; ``place`` numbers the flights that left within their band, shortest delay first."""
    band = case(
        (Weather.origin.is_(None), 4),
        (Weather.visibility_mi < 3, 0),
        (func.coalesce(Weather.wind_mph, 0) >= 25, 1),
        (Weather.precipitation_in > 0, 2),
        else_=3,
    )
    same_hour = and_(Weather.origin == Flight.origin, Weather.hour_utc == Flight.hour_utc)
    shortest_first = Flight.dep_delay_min.asc().nulls_last()
    return (
        select(
            band.label("band"),
            Flight.dep_delay_min.label("delay_min"),
            Flight.revision,
            func.row_number().over(partition_by=band, order_by=shortest_first).label("place"),
            func.count(Flight.dep_delay_min).over(partition_by=band).label("left_at_all"),
        )
        .select_from(Flight)
        .outerjoin(Weather, same_hour)
        .where(Flight.origin == origin, Flight.month == month)
        .subquery()
    )


@dataclass(frozen=True, slots=True)
class WorstDay:
    """A day of an airport; ``disrupted_share``, 0 to 1, is what was late or cancelled."""

    day: date
    departures: int
    late: int
    cancelled: int
    disrupted_share: float


@dataclass(frozen=True, slots=True)
class WorstDays:
    """The worst days of an airport's year; ``corrections`` is of all its flights of the year."""

    origin: str
    days: tuple[WorstDay, ...]
    corrections: int


@flights.cached(
    ttl=fresh_for(3600),
    name="delays.worst_days",
    version="1",
    depends_on={Flight: ("origin",)},
    resources={"session": read_session},
    wait=SLOW_WAIT_S,
)
def worst_days(session: Session, origin: str, days: int = 10) -> WorstDays:
    """The days of the year on which most of an airport's departures were late or cancelled, the worst first.

    For comparing today with. Reads the airport's whole year, about 110,000 flights.
    """
    late = func.count().filter(Flight.dep_delay_min >= LATE_MIN)
    cancelled = func.count().filter(Flight.dep_delay_min.is_(None))
    share = cast(late + cancelled, Float) / func.count()
    worst = (
        select(
            Flight.day,
            func.count().label("departures"),
            late.label("late"),
            cancelled.label("cancelled"),
            share.label("disrupted_share"),
            func.sum(func.sum(Flight.revision)).over().label("corrections"),
        )
        .where(Flight.origin == origin)
        .group_by(Flight.day)
        .order_by(share.desc(), Flight.day)
        .limit(days)
    )
    rows = session.execute(worst).all()
    return WorstDays(
        origin=origin,
        days=tuple(
            WorstDay(row.day, row.departures, row.late, row.cancelled, row.disrupted_share) for row in rows
        ),
        corrections=int(rows[0].corrections) if rows else 0,
    )
