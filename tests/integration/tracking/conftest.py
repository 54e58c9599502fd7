"""Tracked flights, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.tracked import Tracked, prepare, tracked


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with three flights and an outbox."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'flights.db'}" if sqlite else request.getfixturevalue("pg_url")
    made = prepare(url)
    yield made
    made.dispose()


@pytest.fixture
def made(engine: Engine, namespace: str, redis_url: str) -> Iterator[Tracked]:
    """The queries over it, with their sessions tracked."""
    made = tracked(namespace, redis_url, engine)
    yield made
    made.flights.close()
