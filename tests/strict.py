"""A strict query over the flights of tests/tracked.py, and what stands on the server of strict queries."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.tracked import Flight, Tracked
from warmer import Query, Warmer
from warmer.testing import Clock, wait_until

JANUARY, OTHER = ("UA", 1), ("AA", 1)
#: Longer than it takes until everybody knows of a strict query.
KNOWN_S = 11


class Strict:
    """A strict query over the flights of tests/tracked.py, in force; and how often it was loaded."""

    def __init__(self, made: Tracked, clock: Clock) -> None:
        self.made, self.loads = made, 0

        def delay(carrier: str, month: int) -> int:
            self.loads += 1
            with Session(made.engine) as session:
                chosen = select(func.sum(Flight.delay))
                return int(session.scalar(chosen.filter_by(carrier=carrier, month=month)) or 0)

        self.query: Query[[str, int], int] = made.flights.cached(
            ttl=600,
            name="delay",
            version="1",
            depends_on={Flight: ("carrier", "month")},
            consistency="strict",
        )(delay)
        self._clock = clock
        self.query(*JANUARY)
        self.bring_into_force()

    def set_delay(self, delay: int) -> None:
        with self.made.sessions.begin() as session:
            session.get_one(Flight, 1).delay = delay

    def bring_into_force(self) -> None:
        """This one, and others that have been declared since."""
        bring_into_force(self.made.flights, self._clock)

    def is_stored(self, call: tuple[str, int] = JANUARY) -> bool:
        return self.query.bind(*call).entry() is not None


def barred(flights: Warmer) -> dict[bytes, bytes]:
    """The names that are barred, with the tokens of those who bar them."""
    store = flights.runtime().store
    reply = store.command("HGETALL", store.roots[-1] + b"barred")
    return dict(zip(reply[::2], reply[1::2], strict=True))


def bring_into_force(flights: Warmer, clock: Clock) -> None:
    """Move the clock on until everybody knows of the strict queries, and wait for those who still write."""
    clock.advance(KNOWN_S)

    def in_force() -> bool:
        flights.relay()
        survey = flights.runtime().strict.survey()
        return (survey.names, dict(survey.waiting)) == (survey.registered, {})

    wait_until(in_force, "every strict query is in force")
