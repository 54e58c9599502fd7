"""What the demo plays with, and that it knows which delay shows where."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from demo import entries, scenery
from demo.messages import Delay
from tasks import db, desk, flights

DAY = date(2013, 7, 10)


@pytest.fixture
def morning(
    loaded_file: Path, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Delay]]:
    """The demo's copy of the flights as the database of `tasks`, on a Redis of this test's own."""
    file = tmp_path / "copy.db"
    scenery.copy_flights(loaded_file, file)
    delays = scenery.open_the_day(file, DAY, seed=1)
    monkeypatch.setenv("WARMER_DATABASE_URL", f"sqlite:///{file}")
    monkeypatch.setenv("FLIGHTS_TODAY", DAY.isoformat())
    monkeypatch.setattr(flights, "settings", dataclasses.replace(flights.settings, redis_url=redis_url))
    flights.close()
    db.close()
    yield delays
    flights.close()
    db.close()


def _count(file: Path, where: str) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute(f"SELECT count(*) FROM flights WHERE {where}").fetchone()[0])
    finally:
        connection.close()


def test_the_day_begins_with_nothing_known_and_the_loaded_flights_stay_as_they_were(
    loaded_file: Path, tmp_path: Path
) -> None:
    """The copy has none of the day's delays; they are returned, and all else is untouched."""
    file = tmp_path / "copy.db"
    scenery.copy_flights(loaded_file, file)
    delays = scenery.open_the_day(file, DAY, seed=1)
    of_the_day = f"day = '{DAY.isoformat()}'"
    known = f"{of_the_day} AND dep_delay_min IS NOT NULL"
    assert (_count(file, known), _count(file, of_the_day)) == (0, len(delays))
    assert sum(delay.delay_min is not None for delay in delays) == _count(loaded_file, known)
    other_days = "day <> '2013-07-10' AND dep_delay_min IS NOT NULL"
    assert _count(file, other_days) == _count(loaded_file, other_days)


def test_delays_come_in_the_order_in_which_they_became_known(morning: list[Delay]) -> None:
    """A flight that left later than another is reported later, whatever the schedule said."""
    connection = sqlite3.connect(db.database_url().database or "")
    departs = dict(connection.execute("SELECT id, julianday(departs) FROM flights WHERE day = '2013-07-10'"))
    connection.close()
    known_at = [departs[delay.flight_id] + (delay.delay_min or 0) / 1440 for delay in morning]
    assert all(later - earlier > -1e-6 for earlier, later in pairwise(known_at))
    assert len({delay.flight_id for delay in morning}) == len(morning)


def test_a_scenery_that_was_played_with_begins_anew(loaded_file: Path, tmp_path: Path) -> None:
    """Changes that the loaded flights have seen before are not counted again."""
    used, file = tmp_path / "used.db", tmp_path / "copy.db"
    scenery.copy_flights(loaded_file, used)
    connection = sqlite3.connect(used)
    connection.execute("UPDATE flights SET revision = 3 WHERE id < 10")
    connection.execute("INSERT INTO watches VALUES (1, 1)")
    connection.commit()
    connection.close()
    scenery.copy_flights(used, file)
    scenery.open_the_day(file, DAY, seed=1)
    assert _count(file, "revision <> 0") == 0


def test_the_population_is_what_the_plans_yield(morning: list[Delay]) -> None:
    """Each plan gives its entries, none of them twice, users' lists among them."""
    population = entries.population()
    assert len({one.key for one in population}) == len(population) == 44
    assert [one.params["user_id"] for one in population if one.query == "watching.watch_list"] == list(
        range(1, scenery.USERS + 1)
    )


def test_the_demo_knows_which_entries_a_delay_changes(morning: list[Delay]) -> None:
    """For several delays, the entries whose SQL result holds one change more are exactly those it names."""
    population = entries.population()

    def changes() -> list[int]:
        return [entries.changes_in(flights.queries[one.query].fn(**one.params)) for one in population]

    watched = {line.flight_id for user in (1, 2) for line in flights.queries["watching.watch_list"].fn(user)}
    flown = {
        leg
        for one in population
        if one.query == "planes.history"
        for leg in _flights_of(one.params["tailnum"])
    }
    chosen = [sorted(watched)[0], sorted(flown)[0], morning[0].flight_id, morning[-1].flight_id]
    before = changes()
    assert set(before) == {0}
    for flight_id in chosen:
        report = desk.report_delay(flight_id, 47)
        after = changes()
        grown = [new - old for old, new in zip(before, after, strict=True)]
        assert dict.fromkeys(entries.touched(population, report), 1) == {
            place: by for place, by in enumerate(grown) if by
        }
        before = after


def _flights_of(tailnum: str) -> set[int]:
    connection = sqlite3.connect(db.database_url().database or "")
    try:
        rows = connection.execute(
            "SELECT id FROM flights WHERE tailnum = ? AND day = '2013-07-10'", (tailnum,)
        ).fetchall()
    finally:
        connection.close()
    return {row[0] for row in rows}
