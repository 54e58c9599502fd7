"""A fleet of processes over one server that can be set back, and one database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.tracked import prepare
from tests.trusting.fleet import Fleet
from warmer.testing import ValkeyServer


@pytest.fixture
def fleet_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with three flights and an outbox; on SQLite where nothing else is said."""
    sqlite = getattr(request, "param", "sqlite") == "sqlite"
    made = prepare(f"sqlite:///{tmp_path / 'flights.db'}" if sqlite else request.getfixturevalue("pg_url"))
    yield made
    made.dispose()


@pytest.fixture
def fleet(tmp_path: Path, fleet_engine: Engine, namespace: str) -> Iterator[Fleet]:
    """One server with nothing in it."""
    with ValkeyServer(tmp_path / "data", args={"repl-diskless-sync-delay": 0}) as server:
        fleet = Fleet(server, fleet_engine, namespace)
        yield fleet
        fleet.close()


@pytest.fixture
def replica(fleet: Fleet) -> Iterator[ValkeyServer]:
    """A replica of the fleet's server."""
    following: dict[str, str | int] = {
        "replicaof": f"127.0.0.1 {fleet.server.port}",
        "repl-diskless-sync-delay": 0,
    }
    with ValkeyServer(args=following) as server:
        yield server
