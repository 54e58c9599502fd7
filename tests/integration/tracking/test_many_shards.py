"""Tracked writes with entries over many shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text, update

from tests.tracked import CALLS, Flight, Tracked, prepare, tracked

JANUARY, FEBRUARY, OTHER = CALLS


@pytest.fixture
def made(tmp_path: Path, namespace: str, redis_url: str) -> Iterator[Tracked]:
    """Queries over 64 shards."""
    engine = prepare(f"sqlite:///{tmp_path / 'flights.db'}")
    made = tracked(namespace, redis_url, engine, shards=64)
    yield made
    made.flights.close()
    engine.dispose()


def test_a_write_reaches_entries_in_all_shards(made: Tracked) -> None:
    """A row's names, a whole table's, and what is invalidated beside them, whatever shard they lie in."""
    months = range(1, 201)
    spread = {made.delays.bind("UA", month).entry_key.shard for month in months}
    assert len(spread) > 32

    assert made.gone_after(lambda s: s.execute(update(Flight).where(Flight.id == 1).values(month=2))) == {
        JANUARY, FEBRUARY,
    }  # fmt: skip
    made.delays.get_many([("UA", month) for month in months])
    made.fill()
    with made.sessions.begin() as session:
        session.execute(text("UPDATE flights SET delay = 3"))
        made.bags.invalidate(3)
    assert made.gone() == {JANUARY, FEBRUARY, OTHER, ("bags", 3)}
    assert not [month for month in months if made.delays.bind("UA", month).entry() is not None]


def test_a_relay_reaches_entries_in_all_shards(made: Tracked) -> None:
    """What is relayed is applied in every shard, too."""
    made.fill()
    with made.sessions.kw["bind"].connect() as plain, plain.begin():
        made.flights.record(plain, Flight, new={"carrier": "AA", "month": 1})

    assert made.flights.relay() == 1
    assert made.gone() == {OTHER}
