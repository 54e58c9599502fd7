"""The writing side: what the airport's desk reports, and what it makes out of date.

The order matters, and is the same everywhere: write, COMMIT, then invalidate. Invalidating before COMMIT is
the commonest bug there is: a reader in between loads the old rows again, and nothing removes them after.
Each writer here returns when no read that begins later can see what was there before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from tasks import flights
from tasks.boards import departures
from tasks.carriers import carrier_delays, punctuality
from tasks.db import write_session
from tasks.delays import weather_delays
from tasks.models import Flight, Watch
from tasks.planes import plane_history
from tasks.routes import busiest_routes
from tasks.watching import watch_list

__all__ = ["Reported", "UnknownFlight", "invalidate_for", "report_delay", "unwatch", "watch"]


class UnknownFlight(LookupError):
    """No flight has this id; nothing was written and nothing invalidated."""

    def __init__(self, flight_id: int) -> None:
        super().__init__(flight_id)
        self.flight_id = flight_id

    def __str__(self) -> str:
        return (
            f"no flight has the id {self.flight_id}; nothing was written. "
            "Boards show the id of each of their flights as flight_id."
        )


@dataclass(frozen=True, slots=True)
class Reported:
    """A report that is in the database: where the flight shows up, its new revision, and who watches it."""

    flight_id: int
    revision: int
    origin: str
    day: date
    month: int
    carrier: str
    tailnum: str | None
    watchers: tuple[int, ...]


def report_delay(flight_id: int, delay_min: int | None) -> Reported:
    """Writes that a flight left ``delay_min`` minutes late (None: cancelled), then invalidates what shows it.

    When it returns, every read that begins later, in any process, sees the new delay. Raises UnknownFlight.
    If the process dies between COMMIT and the end of that, results may be old until their ttl ends.
    """
    with write_session() as session, session.begin():
        report = _write_delay(session, flight_id, delay_min)
    invalidate_for(report)
    return report


def _write_delay(session: Session, flight_id: int, delay_min: int | None) -> Reported:
    written = session.execute(
        update(Flight)
        .where(Flight.id == flight_id)
        .values(dep_delay_min=delay_min, revision=Flight.revision + 1)
        .returning(
            Flight.id,
            Flight.revision,
            Flight.origin,
            Flight.day,
            Flight.month,
            Flight.carrier,
            Flight.tailnum,
        )
    ).one_or_none()
    if written is None:
        raise UnknownFlight(flight_id)
    watchers = session.scalars(select(Watch.user_id).where(Watch.flight_id == flight_id)).all()
    return Reported(*written, watchers=tuple(watchers))


def invalidate_for(report: Reported) -> int:
    """Invalidates every result that shows the reported flight; returns how many were removed.

    By key where one entry shows it; by some of the params where several may (there is a list of routes for
    each length); by tag for what is known only by what it is about (the airport's year).
    """
    removed = departures.invalidate(report.origin, report.day)
    removed += carrier_delays.invalidate(report.carrier, report.month)
    removed += punctuality.invalidate(report.origin, report.month)
    removed += weather_delays.invalidate(report.origin, report.month)
    removed += busiest_routes.invalidate_where(month=report.month)
    removed += flights.invalidate_tags(f"year-of:{report.origin}")
    if report.tailnum is not None:
        removed += plane_history.invalidate(report.tailnum)
    for user_id in report.watchers:
        removed += watch_list.invalidate(user_id)
    return removed


def watch(user_id: int, flight_id: int) -> None:
    """Puts a flight on a user's list; one that is on it already stays. Raises UnknownFlight."""
    with write_session() as session, session.begin():
        if session.get(Flight, flight_id) is None:
            raise UnknownFlight(flight_id)
        insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
        session.execute(insert(Watch).values(user_id=user_id, flight_id=flight_id).on_conflict_do_nothing())
    watch_list.invalidate(user_id)


def unwatch(user_id: int, flight_id: int) -> None:
    """Takes a flight off a user's list; one that is not on it changes nothing."""
    with write_session() as session, session.begin():
        session.execute(delete(Watch).where(Watch.user_id == user_id, Watch.flight_id == flight_id))
    watch_list.invalidate(user_id)
