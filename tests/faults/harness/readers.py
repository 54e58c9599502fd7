"""Readers: each notes what is promised, reads, and says which promise was broken.

The first process reads from asyncio, the others from threads.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from sqlalchemy import Engine, select

from tests.faults.harness.oracle import (
    BOOKINGS,
    CARRIERS,
    FLIGHTS,
    GATES,
    KINDS,
    SEATS,
    SHELVES,
    carrier_of,
    listed,
    said,
    version_of,
    word,
)
from tests.faults.harness.setting import Setting
from tests.faults.harness.tables import LAG_S, NEAR_S, Queries, Seat, connect, declare
from warmer import Entry, Query
from warmer.errors import IdentityRefused, ReadError, ServerError

#: The names of the assertions, as the report tells them.
STALE, MISSING, FOREIGN = "promise 1: an old row", "promise 1: a row is missing", "promise 5: another's value"
BEHIND = "strict: older than the database"
_MOST_SAID = 20
# A process knows the server's clock about as well as that.
_CLOCKS_S = 0.1

log = logging.getLogger(__name__)

#: A read that is about to be made: of which query, with which params (of many entries: with a list of them),
#: and what looks at its result.
Look = tuple[Query[Any, Any], Any, Callable[[Any], None]]


class Reader:
    """One thread, or task, that reads."""

    def __init__(self, setting: Setting, queries: Queries, engine: Engine, slot: int) -> None:
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.setting, self.queries, self.oracle = setting, queries, setting.oracle
        self.dice, self.counts = setting.dice("reader", slot), self.oracle.counts[slot]
        #: Floors as they were, and when they were seen, back to a certain number of seconds.
        self.past: defaultdict[float, deque[tuple[float, list[int]]]] = defaultdict(deque)

    def flight(self) -> Look:
        """One flight, whose word is not below its floor."""
        number = self.dice.choice(FLIGHTS)
        floor = self.oracle.floor(number)
        return self.queries.flight, (number,), partial(self._flight, number, floor)

    def _flight(self, number: int, floor: int, value: tuple[int, str]) -> None:
        found = word(*value)
        if found < floor:
            self._wrong(STALE, "flight", number, found, floor)

    def near(self) -> Look:
        """What may be a copy in this process: not older than a copy may be."""
        return self._lagging(self.queries.nearby, NEAR_S)

    def lagging(self) -> Look:
        """What may be served for a while after it was invalidated."""
        return self._lagging(self.queries.lagging, LAG_S + _CLOCKS_S)

    def _lagging(self, query: Query[[int], tuple[int, str]], lag_s: float) -> Look:
        number, past = self.dice.choice(FLIGHTS), self.past[lag_s]
        floors = self.oracle.floors(FLIGHTS)
        past.append((time.monotonic(), floors))  # in this order: what was promised by then, at least
        while len(past) > 1 and past[1][0] <= past[-1][0] - lag_s:
            past.popleft()
        floor = past[0][1][number] if past[0][0] <= past[-1][0] - lag_s else 0
        return query, (number,), partial(self._flight, number, floor)

    def many(self) -> Look:
        """All flights, in one read."""
        floors = self.oracle.floors(FLIGHTS)
        return self.queries.flight, [(number,) for number in FLIGHTS], partial(self._many, floors)

    def _many(self, floors: Sequence[int], values: Sequence[tuple[int, str]]) -> None:
        for number, floor, value in zip(FLIGHTS, floors, values, strict=True):
            self._flight(number, floor, value)

    def shelf(self) -> Look:
        """One of many entries of a flight: whether it was stored before the server was set back."""
        number = self.dice.choice(FLIGHTS)
        floor, back_at = self.oracle.floor(number), self.oracle.set_back_at
        params = (number, self.dice.choice(SHELVES))
        return self.queries.shelf, params, partial(self._shelf, number, floor, back_at)

    def _shelf(self, number: int, floor: int, back_at: int, entry: Entry[tuple[int, str]]) -> None:
        self._flight(number, floor, entry.value)
        if entry.state != "loaded" and 0 < entry.stamp < back_at:
            self.counts[KINDS.index("adopted")] += 1

    def board(self) -> Look:
        """A carrier's flights."""
        carrier = self.dice.choice(CARRIERS)
        floors, least = self.oracle.floors(FLIGHTS), self.oracle.floors(listed(carrier))
        return self.queries.board, (carrier,), partial(self._board, carrier, floors, least)

    def _board(
        self, carrier: str, floors: Sequence[int], least: Sequence[int], value: list[tuple[int, int]]
    ) -> None:
        """None is old or has left, and none that is there is missing."""
        there = dict(value)
        for number, floor, allowed in zip(FLIGHTS, floors, least, strict=True):
            version = there.get(number)
            if version is not None:
                if version < allowed:
                    found = word(version, carrier)
                    self._wrong(STALE, f"board of {carrier}", number, found, word(allowed, carrier))
            elif floor and carrier_of(floor) == carrier and self.oracle.begun[number] <= version_of(floor):
                # Nobody has begun to write it since, so it was there all the time.
                self._wrong(MISSING, f"board of {carrier}", number, 0, floor)

    def gate(self) -> Look:
        """What is invalidated by hand, inside the transaction that changes it."""
        number = self.dice.choice(GATES)
        floor = self.oracle.floor(number)
        return self.queries.gate, (number,), partial(self._number, "gate", number, floor)

    def _number(self, what: str, number: int, floor: int, version: int) -> None:
        if word(version) < floor:
            self._wrong(STALE, what, number, word(version), floor)

    def booking(self) -> Look:
        """What is private. Now and then it is asked for as somebody else."""
        number = self.dice.choice(BOOKINGS)
        if self.dice.random() < 0.01:
            self._as_another(number)
        floor = self.oracle.floor(number)
        return self.queries.booking, (number,), partial(self._booking, number, floor)

    def _booking(self, number: int, floor: int, value: tuple[int, int]) -> None:
        """Its owner's, and not old."""
        owner, version = value
        if owner != number:
            self.setting.wrong(FOREIGN, what="booking", row=number, owner=owner)
        else:
            self._number("booking", number, floor, version)

    def _as_another(self, number: int) -> None:
        try:
            with self.queries.namespace.identity(user_id=number + 1):
                self.queries.booking(number)
        except IdentityRefused:
            return
        self.setting.wrong(FOREIGN, what="a read within identity() of another", row=number)

    def strict(self) -> Look:
        """All seats, after a look into the database."""
        found = select(Seat.id, Seat.version).order_by(Seat.id)
        with self.engine.connect() as connection:
            shown = [version for _, version in connection.execute(found)]
        return self.queries.seat, [(number,) for number in SEATS], partial(self._strict, shown)

    def _strict(self, shown: Sequence[int], versions: Sequence[int]) -> None:
        """Whatever the database has shown, the cache shows."""
        for number, least, version in zip(SEATS, shown, versions, strict=True):
            if version < least:
                self._wrong(BEHIND, "seat", number, word(version), word(least))

    def _wrong(self, assertion: str, what: str, row: int, found: int, floor: int) -> None:
        self.setting.wrong(assertion, what=what, row=row, read=said(found), promised=said(floor))


#: How often each kind is drawn.
_DRAWN: tuple[tuple[Callable[[Reader], Look], str, int], ...] = (
    (Reader.flight, "flight", 10),
    (Reader.board, "board", 6),
    (Reader.many, "many", 2),
    (Reader.gate, "gate", 3),
    (Reader.booking, "booking", 3),
    (Reader.strict, "strict", 1),
    (Reader.near, "near", 6),
    (Reader.lagging, "lagging", 2),
    (Reader.shelf, "shelf", 0),
)
#: How often the last one is, where trust is to return.
_SHELVES = 30
_SHELF = KINDS.index("shelf")


def read(setting: Setting, number: int) -> None:
    """A reader process, until the run stops."""
    engine = connect(setting)
    queries = declare(setting, engine)
    slots = range(number * setting.threads, (number + 1) * setting.threads)
    if number == 0:
        asyncio.run(_read_in_tasks(setting, queries, engine, slots))
    else:
        with ThreadPoolExecutor(setting.threads) as threads:
            list(threads.map(lambda slot: _read(setting, queries, engine, slot), slots))
    queries.namespace.close()


def _drawn(reader: Reader) -> Iterator[tuple[Look, int]]:
    """Reads to be made, and where they are counted, until the run stops."""
    kinds = [(prepare, KINDS.index(kind)) for prepare, kind, _ in _DRAWN]
    weights = list(itertools.accumulate(weight for *_, weight in _DRAWN))
    weights[-1] += _SHELVES if reader.setting.trust else 0
    while not reader.oracle.stopped:
        for prepare, column in reader.dice.choices(kinds, cum_weights=weights, k=50):
            yield prepare(reader), column


def _read(setting: Setting, queries: Queries, engine: Engine, slot: int) -> None:
    reader = Reader(setting, queries, engine, slot)
    counts = reader.counts
    for (query, params, judge), column in _drawn(reader):
        try:
            if type(params) is list:
                judge(query.get_many(params))
                counts[column] += len(params)
            else:
                judge(query.read(*params) if column == _SHELF else query(*params))
                counts[column] += 1
        except (ReadError, ServerError) as exc:
            _failed(counts, slot, exc)


async def _read_in_tasks(setting: Setting, queries: Queries, engine: Engine, slots: range) -> None:
    async with asyncio.TaskGroup() as tasks:
        for slot in slots:
            tasks.create_task(_aread(setting, queries, engine, slot))


async def _aread(setting: Setting, queries: Queries, engine: Engine, slot: int) -> None:
    reader = Reader(setting, queries, engine, slot)
    counts = reader.counts
    for (query, params, judge), column in _drawn(reader):
        try:
            if type(params) is list:
                judge(await query.aget_many(params))
                counts[column] += len(params)
            else:
                judge(await (query.aread if column == _SHELF else query.aget)(*params))
                counts[column] += 1
        except (ReadError, ServerError) as exc:
            _failed(counts, slot, exc)


def _failed(counts: memoryview, slot: int, error: Exception) -> None:
    """Count a read that failed, and say of the first ones why."""
    column = KINDS.index("errors")
    counts[column] += 1
    if counts[column] <= _MOST_SAID:
        log.warning("reader %d: %s: %s", slot, type(error).__name__, error)
