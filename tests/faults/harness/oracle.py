"""What is known to be true, in memory that all processes share, and that no kill can leave locked.

A board is judged by what was published of *it*: a flight that left it long ago, by a commit that has not
returned yet, may still be listed, whatever later commits say of the flight elsewhere.

A row has a version that only grows, and a carrier (a *word* holds both). `begun` is raised inside the writing
transaction, under the row's lock and before its COMMIT; a *floor* is raised when `commit()` has returned and
says that it is applied. Each word has one writer at a time, so nothing needs a lock.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CARRIERS = ("AA", "B6", "DL", "UA")
_PLACES = 16

#: Rows by family: which numbers they have among all rows.
FLIGHTS, GATES, BOOKINGS, SEATS = range(12), range(12, 18), range(18, 24), range(24, 30)
ROWS = 30
#: Of each flight there are so many entries more where trust is to return: most of them are read seldom enough
#: to be there still, unread, when it does.
SHELVES = range(30)
#: What boards may list has numbers after these.
_ALL = ROWS + len(CARRIERS) * len(FLIGHTS)

#: What readers count, one column each.
KINDS = (
    "flight",
    "board",
    "many",
    "gate",
    "booking",
    "strict",
    "near",
    "lagging",
    "shelf",
    "errors",
    "adopted",
)
#: Those of them that are no reads of their own.
ABOUT = ("errors", "adopted")


def word(version: int, carrier: str = CARRIERS[0]) -> int:
    """A version and a carrier in one number, which grows with the version."""
    return version * _PLACES + CARRIERS.index(carrier)


def version_of(of: int) -> int:
    """The version in a word."""
    return of // _PLACES


def carrier_of(of: int) -> str:
    """The carrier in a word."""
    return CARRIERS[of % _PLACES]


def listed(carrier: str) -> range:
    """Where the least versions stand that a carrier's board may list of the flights."""
    begin = ROWS + CARRIERS.index(carrier) * len(FLIGHTS)
    return range(begin, begin + len(FLIGHTS))


def said(of: int) -> str:
    """A word as a person reads it."""
    return f"{version_of(of)} at {carrier_of(of)}"


@dataclass(frozen=True)
class Shape:
    """How much room is needed. slots: who raises floors; readers: who counts reads."""

    slots: int
    readers: int


class Oracle:
    """The shared numbers, mapped from a file."""

    def __init__(self, path: Path, shape: Shape) -> None:
        words = 2 + ROWS + _ALL * shape.slots + shape.readers * len(KINDS)
        if not path.exists():
            path.write_bytes(b"\0" * words * 8)
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), words * 8)
        numbers = memoryview(self._memory).cast("q")
        self._stop, self._set_back, at = numbers[:1], numbers[1:2], 2
        self.begun, at = numbers[at : at + ROWS], at + ROWS
        self.slots = [numbers[at + n * _ALL : at + (n + 1) * _ALL] for n in range(shape.slots)]
        at += shape.slots * _ALL
        width = len(KINDS)
        self.counts = [numbers[at + n * width : at + (n + 1) * width] for n in range(shape.readers)]

    @property
    def stopped(self) -> bool:
        """Whether readers and writers are to end."""
        return self._stop[0] != 0

    def stop(self) -> None:
        """Have them end."""
        self._stop[0] = 1

    @property
    def set_back_at(self) -> int:
        """When the server was last set back, in microseconds: what was stored before was adopted."""
        return self._set_back[0]

    @set_back_at.setter
    def set_back_at(self, at_us: int) -> None:
        self._set_back[0] = at_us

    def floor(self, row: int) -> int:
        """What no read of this row that begins now may be below."""
        return max(slot[row] for slot in self.slots)

    def floors(self, rows: range) -> list[int]:
        """The same of several rows."""
        return [
            max(words) for words in zip(*(slot[rows.start : rows.stop] for slot in self.slots), strict=True)
        ]

    def begin(self, row: int, version: int) -> None:
        """A transaction that holds the row's lock is about to commit this version."""
        if version > self.begun[row]:
            self.begun[row] = version

    def publish(self, slot: int, row: int, of: int) -> None:
        """From now on, no read may be below this word."""
        if of > self.slots[slot][row]:
            self.slots[slot][row] = of

    def publish_flight(self, slot: int, row: int, of: int, left: Iterable[str]) -> None:
        """The same of a flight, and of its carrier's board, and of those that it has left."""
        self.publish(slot, row, of)
        for carrier in {carrier_of(of), *left}:
            least = version_of(of) + (carrier != carrier_of(of))
            self.publish(slot, listed(carrier)[row], least)

    def total(self) -> int:
        """How many reads there were."""
        return sum(n for kind, n in self.reads().items() if kind not in ABOUT)

    def reads(self) -> dict[str, int]:
        """What all readers have counted."""
        return {kind: sum(counts[at] for counts in self.counts) for at, kind in enumerate(KINDS)}
