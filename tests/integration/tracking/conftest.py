"""Tracked flights, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tests.tracked import Tracked, tracked


@pytest.fixture
def made(engine: Engine, namespace: str, redis_url: str) -> Iterator[Tracked]:
    """The queries over it, with their sessions tracked."""
    made = tracked(namespace, redis_url, engine)
    yield made
    made.flights.close()
