"""The flights in PostgreSQL: loaded whole, and the queries' SQL gives there what it gives on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tasks import db, load
from tasks.boards import departures
from tasks.carriers import carrier_delays, punctuality
from tasks.delays import weather_delays, worst_days
from tasks.planes import plane_history
from tasks.routes import busiest_routes
from tasks.watching import watch_list
from tests.integration.reference.test_load import ROWS
from warmer.testing import PostgresServer


@pytest.fixture(scope="module")
def loaded(warmer_postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database into which the flights were copied."""
    with warmer_postgres.database() as url:
        assert load.load(make_url(url)).rows == sum(ROWS.values())
        yield url


def test_postgresql_is_loaded_once_and_whole(loaded: str) -> None:
    """With a PostgreSQL URL the same rows are copied there, once."""
    assert load.load(make_url(loaded)).already_there
    engine = create_engine(loaded)
    with engine.connect() as connection:
        found = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in ROWS}
        first = connection.execute(text("SELECT * FROM flights WHERE id = 1")).one()
        nulls = text("SELECT count(*) FROM flights WHERE dep_delay_min IS NULL")
        cancelled = connection.execute(nulls).scalar()
    engine.dispose()
    assert found == ROWS
    assert (str(first.departs), first.dep_delay_min, first.tailnum) == ("2013-01-01 05:15:00", 2, "N14228")
    assert cancelled == 8255


def test_the_queries_give_the_same_on_postgresql(
    loaded: str, flights_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every query gives the same result on PostgreSQL as on SQLite, types included."""

    def answers() -> list[object]:
        return [
            departures.fn("EWR", date(2013, 7, 10)),
            carrier_delays.fn("UA", 7),
            punctuality.fn("LGA", 3),
            busiest_routes.fn(7),
            weather_delays.fn("EWR", 7),
            worst_days.fn("JFK"),
            plane_history.fn("N14228"),
            watch_list.fn(1),
        ]

    on_sqlite = answers()
    monkeypatch.setenv("WARMER_DATABASE_URL", loaded)
    db.close()
    try:
        on_postgres = answers()
    finally:
        db.close()
    for here, there in zip(on_sqlite, on_postgres, strict=True):
        assert _rounded(here) == _rounded(there)


def _rounded(value: object) -> object:
    """Floats to 9 digits, the rest as repr gives it: types must agree, too."""
    if isinstance(value, float):
        return ("float", round(value, 9))
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    slots = getattr(type(value), "__slots__", None)
    if slots is not None and hasattr(type(value), "__dataclass_fields__"):
        return [type(value).__name__, *(_rounded(getattr(value, slot)) for slot in slots)]
    return repr(value)
