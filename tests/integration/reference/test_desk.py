"""The writing side: what a report changes, and that it invalidates what shows it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from tasks import db, desk, flights
from tasks.boards import departures
from tasks.carriers import carrier_delays, punctuality
from tasks.db import read_session
from tasks.delays import weather_delays, worst_days
from tasks.models import Flight
from tasks.planes import plane_history
from tasks.routes import busiest_routes
from tasks.watching import watch_list

ROOT = Path(__file__).resolve().parents[3]

#: UA 1545 from EWR to IAH on 1 January 2013, with the plane N14228: the first record of the data set.
FIRST = 1


@pytest.fixture(autouse=True)
def cached_flights(own_flights_db: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The reference deployment on a database and a Redis of this test's own."""
    monkeypatch.setattr(flights, "settings", dataclasses.replace(flights.settings, redis_url=redis_url))
    flights.close()
    yield
    flights.close()


def _first() -> Flight:
    with read_session() as session:
        return session.get_one(Flight, FIRST)


def test_a_report_is_written_and_counted() -> None:
    """The delay is in the database, and the row's revision has grown by one."""
    report = desk.report_delay(FIRST, 47)
    row = _first()
    assert (row.dep_delay_min, row.revision, report.revision) == (47, 1, 1)
    assert desk.report_delay(FIRST, None).revision == 2
    assert _first().dep_delay_min is None


def test_a_report_is_seen_by_every_query_that_shows_the_flight() -> None:
    """After a report, each result that shows the flight is read anew, and none of them from before."""
    desk.watch(7, FIRST)

    def corrections() -> dict[str, int]:
        return {
            "board": sum(line.revision for line in departures("EWR", date(2013, 1, 1))),
            "carrier": carrier_delays("UA", 1).corrections,
            "punctuality": punctuality("EWR", 1).corrections,
            "weather": weather_delays("EWR", 1).corrections,
            "routes": busiest_routes(1).corrections,
            "shorter routes": busiest_routes(1, 5).corrections,
            "year": worst_days("EWR").corrections,
            "plane": plane_history("N14228").corrections,
            "watched": sum(line.revision for line in watch_list(7)),
        }

    assert set(corrections().values()) == {0}
    desk.report_delay(FIRST, 47)
    assert {name: count for name, count in corrections().items() if count != 1} == {}


def test_a_report_leaves_other_results_alone() -> None:
    """What does not show the flight is still served from the cache after a report."""
    others = (departures.bind("JFK", date(2013, 1, 1)), carrier_delays.bind("AA", 1), worst_days.bind("LGA"))
    before = [one.read().stamp for one in others]
    desk.report_delay(FIRST, 47)
    assert [one.read().stamp for one in others] == before


def test_a_watch_list_is_its_owners_and_changes_at_once() -> None:
    """Watching and unwatching show in the next read of that user's list, and in nobody else's."""
    assert (watch_list(7), watch_list(8)) == ([], [])
    desk.watch(7, FIRST)
    desk.watch(7, FIRST)
    assert [line.flight for line in watch_list(7)] == ["UA 1545"]
    assert watch_list(8) == []
    desk.unwatch(7, FIRST)
    desk.unwatch(7, FIRST)
    assert watch_list(7) == []


def test_an_unknown_flight_is_refused_and_nothing_changes() -> None:
    """Reporting or watching a flight that is not there is an error that names it, and writes nothing."""
    for attempt in (lambda: desk.report_delay(999_999, 5), lambda: desk.watch(7, 999_999)):
        with pytest.raises(desk.UnknownFlight, match="999999; nothing was written"):
            attempt()
    assert watch_list(7) == []


def test_a_query_cannot_write() -> None:
    """The sessions that queries get refuse to write, so a slip in a query changes nothing."""
    with read_session() as session, pytest.raises(OperationalError, match="readonly"):
        session.execute(update(Flight).values(revision=9))
    assert _first().revision == 0


FORK = """
import os, sys
from tasks.db import read_session
from tasks.models import Flight

def read():
    with read_session() as session:
        assert session.get_one(Flight, 1).id == 1

read()
child = os.fork()
if child == 0:
    read()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
read()
print("both went on")
"""


def test_a_forked_child_makes_its_own_connections(own_flights_db: Path) -> None:
    """After a fork both sides go on reading: the child opens connections of its own."""
    env = {**os.environ, "WARMER_DATABASE_URL": f"sqlite:///{own_flights_db}"}
    command = [sys.executable, "-c", FORK]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "both went on"


def test_a_database_without_flights_says_how_to_load_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing SQLite file is an error that names the command; no empty file is made in its place."""
    db.close()
    monkeypatch.setenv("WARMER_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(db.FlightsNotLoaded, match=r"python -m tasks\.load"):
        read_session()
    assert list(tmp_path.glob("none.db*")) == []
