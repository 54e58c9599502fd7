"""The audit of the reference deployment: no gaps, and what it says when something is taken away."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from tasks import desk, flights
from tasks.boards import departures
from tasks.carriers import carrier_delays, punctuality
from tasks.delays import weather_delays, worst_days
from tasks.planes import plane_history
from tasks.routes import busiest_routes
from tasks.watching import watch_list
from warmer.found.gaps import audit

#: UA 1545 from EWR to IAH on 1 January 2013, with the plane N14228: the first record of the data set.
FIRST, WATCHER = 1, 7


@pytest.fixture(autouse=True)
def a_day_of_the_desk(
    own_flights_db: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A delay was reported, and an entry of each query is there."""
    monkeypatch.setattr(flights, "settings", dataclasses.replace(flights.settings, redis_url=redis_url))
    flights.close()
    desk.watch(WATCHER, FIRST)
    desk.report_delay(FIRST, 47)
    _read_all()
    yield
    flights.close()


def _read_all() -> None:
    departures("EWR", date(2013, 1, 1))
    carrier_delays("UA", 1)
    punctuality("EWR", 1)
    weather_delays("EWR", 1)
    worst_days("EWR")
    busiest_routes(1)
    plane_history("N14228")
    watch_list(WATCHER)


def _gaps(*queries: str) -> list[tuple[str, str, str]]:
    readings = [flights.readings[name] for name in queries or list(flights.readings)]
    report = audit(flights.runtime(), readings, 1, random.Random(7))
    assert all(query.observed.loads == 1 for query in report.queries)
    return [(gap.kind, gap.query, gap.told) for gap in report.gaps]


def test_the_reference_deployment_has_no_gaps() -> None:
    """Every table that a query reads is depended on as it is read, and every tag is invalidated."""
    assert _gaps() == []


def test_a_dependency_that_is_taken_away_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Airline among its dependencies, the board would go on to show an airline's old name."""
    board = flights.readings["boards.departures"]
    without = tuple(table for table in board.dependencies.tables if table != "airlines")
    monkeypatch.setattr(board, "dependencies", dataclasses.replace(board.dependencies, tables=without))

    assert _gaps("boards.departures", "watching.watch_list") == [
        ("not_declared", "boards.departures", "its loads read airlines, and it does not depend on it")
    ]


def test_a_tag_that_is_misspelt_is_found_from_both_sides(
    monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """Nobody invalidates the lists' tags, and what is invalidated nobody has."""
    invalidate = flights.invalidate_tags
    monkeypatch.setattr(flights, "invalidate_tags", lambda tag: invalidate(tag.replace("flight", "fligth")))
    flights.runtime().store.command("FLUSHDB")
    flights.close()
    desk.report_delay(FIRST, 48)
    watch_list(WATCHER)

    found = _gaps("watching.watch_list")
    assert {(kind, query) for kind, query, _ in found} == {
        ("tag_never_invalidated", "watching.watch_list"),
        ("never_invalidated", "watching.watch_list"),
        ("matches_nothing", ""),
    }
    assert any("'fligth:1'" in told for _, _, told in found)
