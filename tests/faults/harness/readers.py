"""Readers: each notes what is promised, reads, and says which promise was broken."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.faults.harness.oracle import (
    BOOKINGS,
    CARRIERS,
    FLIGHTS,
    GATES,
    KINDS,
    carrier_of,
    said,
    version_of,
    word,
)
from tests.faults.harness.setting import Setting
from tests.faults.harness.tables import Queries, connect, declare
from warmer.errors import IdentityRefused, ReadError, ServerError

#: The names of the assertions, as the report tells them.
STALE, MISSING, FOREIGN = "promise 1: an old row", "promise 1: a row is missing", "promise 5: another's value"
_MOST_SAID = 20

log = logging.getLogger(__name__)


class Reader:
    """One reading thread."""

    def __init__(self, setting: Setting, queries: Queries, dice: random.Random) -> None:
        self.setting, self.queries, self.dice, self.oracle = setting, queries, dice, setting.oracle

    def flight(self) -> int:
        """One flight, whose word is not below its floor."""
        number = self.dice.choice(FLIGHTS)
        floor = self.oracle.floor(number)
        found = word(*self.queries.flight(number))
        if found < floor:
            self._wrong(STALE, "flight", number, found, floor)
        return 1

    def many(self) -> int:
        """All flights, in one read."""
        floors = self.oracle.floors(FLIGHTS)
        found = self.queries.flight.get_many([(number,) for number in FLIGHTS])
        for number, (version, carrier), floor in zip(FLIGHTS, found, floors, strict=True):
            if word(version, carrier) < floor:
                self._wrong(STALE, "flight of many", number, word(version, carrier), floor)
        return len(found)

    def board(self) -> int:
        """A carrier's flights: none is old or has left, and none that is there is missing."""
        carrier = self.dice.choice(CARRIERS)
        floors = self.oracle.floors(FLIGHTS)
        listed = dict(self.queries.board(carrier))
        for number, floor in zip(FLIGHTS, floors, strict=True):
            version = listed.get(number)
            if version is not None:
                found = word(version, carrier)
                if found < floor or (version == version_of(floor) and found != floor):
                    self._wrong(STALE, f"board of {carrier}", number, found, floor)
            elif floor and carrier_of(floor) == carrier and self.oracle.begun[number] <= version_of(floor):
                # Nobody has begun to write it since, so it was there all the time.
                self._wrong(MISSING, f"board of {carrier}", number, 0, floor)
        return 1

    def gate(self) -> int:
        """What is invalidated by hand, inside the transaction that changes it."""
        number = self.dice.choice(GATES)
        floor = self.oracle.floor(number)
        found = word(self.queries.gate(number))
        if found < floor:
            self._wrong(STALE, "gate", number, found, floor)
        return 1

    def booking(self) -> int:
        """What is private: its owner's, and not old. Now and then it is asked for as somebody else."""
        number = self.dice.choice(BOOKINGS)
        floor = self.oracle.floor(number)
        if self.dice.random() < 0.01:
            self._as_another(number)
        owner, version = self.queries.booking(number)
        if owner != number:
            self.setting.wrong(FOREIGN, what="booking", row=number, owner=owner)
        elif word(version) < floor:
            self._wrong(STALE, "booking", number, word(version), floor)
        return 1

    def _as_another(self, number: int) -> None:
        try:
            with self.queries.namespace.identity(user_id=number + 1):
                self.queries.booking(number)
        except IdentityRefused:
            return
        self.setting.wrong(FOREIGN, what="a read within identity() of another", row=number)

    def _wrong(self, assertion: str, what: str, row: int, found: int, floor: int) -> None:
        self.setting.wrong(assertion, what=what, row=row, read=said(found), promised=said(floor))


#: How often each kind is drawn.
_DRAWN: tuple[tuple[Callable[[Reader], int], str, int], ...] = (
    (Reader.flight, "flight", 10),
    (Reader.board, "board", 6),
    (Reader.many, "many", 2),
    (Reader.gate, "gate", 3),
    (Reader.booking, "booking", 3),
)


def read(setting: Setting, number: int) -> None:
    """A reader process: some threads, until the run stops."""
    queries = declare(setting, connect(setting))
    slots = range(number * setting.threads, (number + 1) * setting.threads)
    with ThreadPoolExecutor(setting.threads) as threads:
        list(threads.map(lambda slot: _read(setting, queries, slot), slots))
    queries.namespace.close()


def _read(setting: Setting, queries: Queries, slot: int) -> None:
    dice = setting.dice("reader", slot)
    reader = Reader(setting, queries, dice)
    counts, errors = reader.oracle.counts[slot], KINDS.index("errors")
    kinds = [(act, KINDS.index(kind)) for act, kind, _ in _DRAWN]
    weights = list(itertools.accumulate(weight for *_, weight in _DRAWN))
    told = 0
    while not reader.oracle.stopped:
        for act, column in dice.choices(kinds, cum_weights=weights, k=50):
            try:
                counts[column] += act(reader)
            except (ReadError, ServerError) as exc:
                counts[errors] += 1
                told += 1
                if told <= _MOST_SAID:
                    log.warning("reader %d: %s: %s", slot, type(exc).__name__, exc)
