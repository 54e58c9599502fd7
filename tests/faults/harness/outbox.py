"""Looking at the outbox from outside: a committed change must be applied, and from then on it is promised.

What is in the database at one moment is published when all rows of the outbox that are there at that same
moment are marked: so what killed writers committed is promised, too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.faults.harness.oracle import (
    BOOKINGS,
    CARRIERS,
    FLIGHTS,
    GATES,
    SEATS,
    SHELVES,
    carrier_of,
    version_of,
)
from tests.faults.harness.setting import Setting
from tests.faults.harness.tables import Queries, connect, truth
from warmer.outbox.schema import outbox

UNAPPLIED, DIFFERS = (
    "promise 4: a committed change is not applied",
    "at rest: an entry is not as the database",
)
_LOOK_S, _APPLIED_S = 0.2, 45.0


class Watch:
    """A thread that looks, until it is told to end."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._oracle = setting, setting.oracle
        self._engine = connect(setting)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.longest_s = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> bool:
        """Look once more, until all is applied; whether it is."""
        self._stop.set()
        self._thread.join(2 * _APPLIED_S)
        return self._look()

    def counts(self) -> tuple[int, int]:
        """How many rows the outbox has, and how many are not applied."""
        with Session(self._engine) as session:
            rows, applied = session.execute(select(func.count(), func.count(outbox.c.applied_at))).one()
            return rows, rows - applied

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            if not self._look():
                return

    def _look(self) -> bool:
        words, pending = self._moment()
        began = time.monotonic()
        while pending := self._still(pending):
            if time.monotonic() - began > _APPLIED_S:
                self._setting.wrong(UNAPPLIED, rows=sorted(pending)[:10], after_s=_APPLIED_S)
                return False
            time.sleep(_LOOK_S)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        for row, of in words.items():
            if row in FLIGHTS:
                self._oracle.publish_flight(-1, row, of, CARRIERS)
            else:
                self._oracle.publish(-1, row, of)
        return True

    def _moment(self) -> tuple[dict[int, int], set[int]]:
        """All rows, and which rows of the outbox are not applied, as one transaction sees them."""
        with Session(self._engine) as session:
            if self._engine.dialect.name == "sqlite":
                session.connection().exec_driver_sql("BEGIN")
            else:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            words = truth(session)
            return words, set(session.scalars(select(outbox.c.id).where(outbox.c.applied_at.is_(None))))

    def _still(self, pending: set[int]) -> set[int]:
        if not pending:
            return pending
        with Session(self._engine) as session:
            left = select(outbox.c.id).where(outbox.c.id.in_(pending), outbox.c.applied_at.is_(None))
            return set(session.scalars(left))


def compare(setting: Setting, queries: Queries) -> int:
    """When nobody writes any more: each entry that is there is as the database says. How many there were."""
    with Session(connect(setting)) as session:
        words = truth(session)
    there = 0
    for handle, expected in _expected(queries, words):
        entry = handle.entry()
        if entry is not None:
            there += 1
            if entry.value != expected:
                setting.wrong(DIFFERS, what=str(handle.params), entry=entry.value, database=expected)
    return there


def _expected(queries: Queries, words: dict[int, int]) -> Iterator[tuple[Any, Any]]:
    """Each entry that may be there, and its value."""
    version = {row: version_of(of) for row, of in words.items()}
    for row in FLIGHTS:
        yield queries.flight.bind(row), (version[row], carrier_of(words[row]))
        yield queries.nearby.bind(row), (version[row], carrier_of(words[row]))
        for shelf in SHELVES:
            yield queries.shelf.bind(row, shelf), (version[row], carrier_of(words[row]))
    for carrier in CARRIERS:
        listed = [(row, version[row]) for row in FLIGHTS if carrier_of(words[row]) == carrier]
        yield queries.board.bind(carrier), listed
    yield from ((queries.gate.bind(row), version[row]) for row in GATES)
    yield from ((queries.booking.bind(row), (row, version[row])) for row in BOOKINGS)
    yield from ((queries.seat.bind(row), version[row]) for row in SEATS)
