"""The writing side: what the airport's desk reports.

It writes rows and says nothing of entries: its sessions are tracked (``tasks.db``), so a commit drops what
depends on the rows that it changed, and returns when no read that begins later can see what was there before.

One thing columns can't say: which lists show a flight, for that stands in another table. Lists are tagged
with their flights (``tasks.watching``), and who changes a flight names its tag, inside the transaction: it
takes effect at its COMMIT. Asking who watches the flight instead would miss who begins to meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from tasks import flights
from tasks.db import write_session
from tasks.models import Flight, Watch

__all__ = ["Reported", "UnknownFlight", "report_delay", "unwatch", "watch"]


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
    """Writes that a flight left ``delay_min`` minutes late (None: cancelled).

    When it returns, every read that begins later, in any process, sees the new delay; if the process dies
    after COMMIT, as soon as a scheduler has looked. Raises UnknownFlight.
    """
    with write_session() as session, session.begin():
        flight = _flight(session, flight_id)
        flight.dep_delay_min = delay_min
        flight.revision = Flight.revision + 1  # counted by the database: two reports at once are two
        session.flush()
        flights.invalidate_tags(f"flight:{flight_id}")
        watchers = session.scalars(select(Watch.user_id).where(Watch.flight_id == flight_id)).all()
        return Reported(
            flight.id,
            flight.revision,
            flight.origin,
            flight.day,
            flight.month,
            flight.carrier,
            flight.tailnum,
            watchers=tuple(watchers),
        )


def watch(user_id: int, flight_id: int) -> None:
    """Puts a flight on a user's list; one that is on it already stays. Raises UnknownFlight."""
    with write_session() as session, session.begin():
        _flight(session, flight_id)
        insert = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
        session.execute(insert(Watch).values(user_id=user_id, flight_id=flight_id).on_conflict_do_nothing())


def unwatch(user_id: int, flight_id: int) -> None:
    """Takes a flight off a user's list; one that is not on it changes nothing."""
    with write_session() as session, session.begin():
        session.execute(delete(Watch).where(Watch.user_id == user_id, Watch.flight_id == flight_id))


def _flight(session: Session, flight_id: int) -> Flight:
    found = session.get(Flight, flight_id)
    if found is None:
        raise UnknownFlight(flight_id)
    return found
