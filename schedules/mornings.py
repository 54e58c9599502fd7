"""Before the desks open: what everybody looks at first is warm before anybody does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from tasks import flights
from tasks.boards import departures
from tasks.carriers import carrier_delays, punctuality
from tasks.db import read_session
from tasks.delays import weather_delays, worst_days
from tasks.models import Airline
from tasks.routes import busiest_routes
from tasks.today import today
from warmer import Handle, cron

__all__ = ["AIRPORTS", "BOARD_DAYS", "morning_airports", "morning_boards", "morning_carriers"]

#: New York's airports: every flight of the data set leaves from one of them.
AIRPORTS = ("EWR", "JFK", "LGA")

#: How many days the boards show, beginning with today.
BOARD_DAYS = 4


@flights.plan(cron("0 5 * * *", timezone="America/New_York"), rate="50/s")
def morning_boards() -> Iterator[Handle[Any]]:
    """The boards of all airports for today and the next days, before the terminals open."""
    for day in range(BOARD_DAYS):
        for airport in AIRPORTS:
            yield departures.bind(airport, today() + timedelta(days=day))


@flights.plan(cron("45 4 * * *", timezone="America/New_York"), rate="5/s")
def morning_airports() -> Iterator[Handle[Any]]:
    """This month's statistics of every airport, for the duty managers.

    Slow: each entry reads an airport's year or scans the flights, so they come five a second.
    """
    month = today().month
    yield busiest_routes.bind(month)
    for airport in AIRPORTS:
        yield punctuality.bind(airport, month)
        yield weather_delays.bind(airport, month)
        yield worst_days.bind(airport)


@flights.plan(cron("30 4 * * *", timezone="America/New_York"), rate="5/s")
def morning_carriers() -> Iterator[Handle[Any]]:
    """This month's delays of every carrier, for the daily calls with them."""
    with read_session() as session:
        carriers = session.scalars(select(Airline.carrier).order_by(Airline.carrier)).all()
    for carrier in carriers:
        yield carrier_delays.bind(carrier, today().month)
