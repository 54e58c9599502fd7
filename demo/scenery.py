"""The data of a performance: a copy of the flights on a morning on which nothing has left yet, and who
watches what.

The copy is the demo's own, so that what is played does not change what `python -m tasks.load` has loaded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from random import Random

from demo.messages import Delay

__all__ = ["USERS", "WATCHED", "copy_flights", "open_the_day"]

#: How many users have a list of their own, and how many flights are on each.
USERS, WATCHED = 10, 5


def copy_flights(loaded: Path, file: Path) -> None:
    """A fresh copy of the loaded flights. SQLite makes it: it is whole, whoever uses the original."""
    for old in file.parent.glob(f"{file.name}*"):
        old.unlink()
    with _open(loaded) as source, _open(file) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")


def open_the_day(file: Path, day: date, seed: int) -> list[Delay]:
    """Takes the day's delays off the boards and lets users watch some of its flights.

    Returns the real delays, in the order in which they became known: when the flight left, or when a
    cancelled one should have. Made up are only the users and what they watch.
    """
    with _open(file) as connection:
        rows = connection.execute(
            "SELECT id, carrier || ' ' || number, dep_delay_min FROM flights WHERE day = ? "
            "ORDER BY datetime(departs, coalesce(dep_delay_min, 0) || ' minutes'), id",
            (day.isoformat(),),
        ).fetchall()
        connection.execute("UPDATE flights SET dep_delay_min = NULL WHERE day = ?", (day.isoformat(),))
        # Whatever the loaded flights have seen since: here the counting of changes begins.
        connection.execute("UPDATE flights SET revision = 0 WHERE revision <> 0")
        connection.execute("DELETE FROM watches")
        dice = Random(seed)
        lists = [
            (user_id, flight_id)
            for user_id in range(1, USERS + 1)
            for flight_id in sorted(dice.sample([row[0] for row in rows], WATCHED))
        ]
        connection.executemany("INSERT INTO watches (user_id, flight_id) VALUES (?, ?)", lists)
        connection.commit()
    return [Delay(*row) for row in rows]


@contextmanager
def _open(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file)) as connection:
        yield connection
