"""Tracked flights with triggers, on SQLite and on PostgreSQL, and writers that never heard of Warmer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from tests.tracked import Foreign, Tracked, tracked
from warmer.triggers import install
from warmer.triggers.tables import wanted


@pytest.fixture
def made(engine: Engine, namespace: str, redis_url: str) -> Iterator[Tracked]:
    """The queries over it, with their sessions tracked, and triggers."""
    made = tracked(namespace, redis_url, engine)
    with engine.begin() as connection:
        install(connection, made.flights, wanted(made.flights)[0])
    yield made
    made.flights.close()


@pytest.fixture
def foreign(engine: Engine) -> Iterator[Foreign]:
    """Runs SQL, each statement given, in one transaction of a connection of the driver's own."""
    url = engine.url
    opened: Any
    if url.get_backend_name() == "sqlite":
        opened = sqlite3.connect(str(url.database), timeout=30)
        opened.execute("PRAGMA foreign_keys = ON")
    else:
        opened = psycopg.connect(url.set(drivername="postgresql").render_as_string(False))

    def run(*statements: str) -> None:
        for statement in statements:
            opened.execute(statement)
        opened.commit()

    with closing(opened):
        yield run
