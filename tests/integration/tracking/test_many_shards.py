"""Tracked writes with entries over many shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

from tests.tracked import CALLS, Flight, Tracked, prepare, tracked
from warmer.store.scripts import Call

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


def test_a_commit_is_one_trip(made: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many shards, rows and entries: the scripts of all of them go together."""
    made.fill()
    trips: list[list[str]] = []
    scripts = made.flights.runtime().store.scripts
    run_all = scripts.run_all

    def counted(calls: Sequence[Call]) -> list[Any]:
        trips.append([call.name for call in calls])
        return run_all(calls)

    with made.sessions() as session:
        for flight in (1, 2, 3):
            session.get_one(Flight, flight).month += 2
        session.flush()
        made.bags.invalidate(2)
        monkeypatch.setattr(scripts, "run_all", counted)
        session.commit()

    assert trips == [["apply"] * 64 + ["invalidate"]]
    assert made.gone() == {JANUARY, FEBRUARY, OTHER, ("bags", 2)}


def test_a_relay_reaches_entries_in_all_shards(made: Tracked) -> None:
    """What is relayed is applied in every shard, too."""
    made.fill()
    with made.sessions.kw["bind"].connect() as plain, plain.begin():
        made.flights.record(plain, Flight, new={"carrier": "AA", "month": 1})

    assert made.flights.relay() == 1
    assert made.gone() == {OTHER}
