"""A namespace that other processes of a race can import; its database is named in the environment."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from warmer import Warmer

flights = Warmer("racing")

# Read where this is imported, so that a test can have it in other processes only.
_LAG = int(os.environ.get("RACING_LAG", "0"))


def connect() -> sqlite3.Connection:
    """A connection to the race's database."""
    return sqlite3.connect(os.environ["RACING_DB"], timeout=20)


@flights.cached(ttl=20, name="racing.revision", version="1", tags=("boards",))
def revision(airport: str) -> list[int]:
    """The revision of an airport's board."""
    with closing(connect()) as connection:
        return [
            row[0] for row in connection.execute("SELECT revision FROM board WHERE airport = ?", [airport])
        ]


def version(rows: list[int]) -> int:
    """The version of what `revision` gives."""
    return rows[0] - _LAG


def bump(airport: str) -> int:
    """Write the next revision, without invalidating anything; returns it."""
    with closing(connect()) as connection:
        found = connection.execute(
            "UPDATE board SET revision = revision + 1 WHERE airport = ? RETURNING revision", [airport]
        ).fetchone()
        connection.commit()
    return int(found[0])
