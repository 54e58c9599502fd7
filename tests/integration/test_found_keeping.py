"""Who keeps what queries depend on, and which invalidations do nothing."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from celery import signals
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from tests.commanding.projects import write_tasks
from tests.commanding.session import Session as Shell
from warmer import Warmer
from warmer.found import keeping
from warmer.found.gaps import audit
from warmer.found.keeping import Unkept, unkept
from warmer.found.outcomes import MOST, Outcome, recorded
from warmer.outbox import schema
from warmer.testing import wait_until

TIMES = 10


@dataclass(frozen=True)
class Sender:
    """Whom Celery's signals name as their sender."""

    app: object


def _board(flights: Warmer) -> None:
    @flights.cached(ttl=60, name="board", version="1", depends_on={"flights": ("carrier",), "airlines": ()})
    def board(carrier: str, limit: int = 10) -> int:
        return limit


def _other(flights: Warmer) -> Warmer:
    """The same namespace in another process, which reads nothing."""
    return Warmer(flights.namespace, redis_url=flights.settings.redis_url)


def test_dependencies_that_nobody_keeps_are_known(flights: Warmer, tmp_path: Path) -> None:
    """A writer that tracks in any process keeps them all; a change that was recorded, those of its table."""
    _board(flights)

    @flights.cached(ttl=60, name="gates", version="1", depends_on={"gates": ()})
    def gates() -> int:
        return 1

    assert unkept(flights) == [Unkept("board", ("flights", "airlines")), Unkept("gates", ("gates",))]

    engine = create_engine(f"sqlite:///{tmp_path / 'flights.db'}")
    with engine.begin() as connection:
        schema.create(connection)
        made = flights.record(connection, "flights", old={"carrier": "UA"}, new={"carrier": "UA"})
    assert made.apply()
    flights.runtime().outcomes.flush()
    assert [one.query for one in unkept(flights)] == ["gates"]

    writer = _other(flights)
    writer.track(sessionmaker(engine))
    writer.runtime().outcomes.flush()
    assert unkept(flights) == []
    writer.close()


def test_a_worker_tells_of_each_query_once_and_what_to_do(
    flights: Warmer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After its start, and after a while in which the writers may come up."""
    monkeypatch.setattr(keeping, "GRACE_S", 0.01)
    _board(flights)
    app = flights.celery
    with caplog.at_level(logging.WARNING, "warmer"):
        signals.worker_ready.send(sender=Sender(app))
        wait_until(lambda: "nobody keeps" in caplog.text, description="a worker to tell")

    (told,) = [record.getMessage() for record in caplog.records if "nobody keeps" in record.getMessage()]
    assert "board depends on flights, airlines" in told
    assert "`track(SessionLocal)`" in told


def test_status_shows_what_nobody_keeps(tmp_path: Path, redis_url: str) -> None:
    """In words, and in JSON."""
    source = """
from warmer import Warmer
shop = Warmer("shop")

@shop.cached(ttl=60, name="numbers.double", version="1", depends_on={"numbers": ("n",)})
def double(n: int) -> int:
    return 2 * n
"""
    with Shell(write_tasks(tmp_path / "shop", source), {"WARMER_REDIS_URL": redis_url}) as shell:
        said, told = shell("status", "--json"), shell("status")

    assert said.json["unkept"] == [{"query": "numbers.double", "tables": ["numbers"]}]
    assert "numbers.double depends on numbers, and its dependencies are a promise nobody keeps" in told.out


def _gaps(flights: Warmer) -> set[tuple[str, str]]:
    report = audit(flights.runtime(), list(flights.readings.values()), 0, random.Random(7))
    return {(gap.kind, gap.told) for gap in report.gaps if gap.kind in ("drops_nothing", "params_left_out")}


def test_invalidations_that_never_drop_anything_are_a_gap(flights: Warmer) -> None:
    """Of every kind; one that has dropped something once is none."""
    _board(flights)
    board = flights.query("board")

    @flights.cached(ttl=60, name="mine", version="1", scope="user_id")
    def mine(user_id: int) -> int:
        return user_id

    board("UA")
    mine(7)
    for _ in range(TIMES):
        board.invalidate("ua")
        board.invalidate_where(carrier="ua")
        flights.forget(user_id=70)
    assert _gaps(flights) == {
        (
            "drops_nothing",
            f"{TIMES} invalidations of single entries have dropped nothing, and it has entries",
        ),
        (
            "drops_nothing",
            f"{TIMES} invalidations by some of their params have dropped nothing, and it has entries",
        ),
        ("drops_nothing", f"{TIMES} invalidations by user_id have dropped nothing, and it has entries"),
    }

    board.invalidate("UA")
    board("UA")
    board.invalidate_where(carrier="UA")
    flights.forget(user_id=7)
    board("UA")
    mine(7)
    assert _gaps(flights) == set()


def test_a_partial_invalidation_that_names_a_param_at_its_default_leaves_others_out(flights: Warmer) -> None:
    """`invalidate_where(carrier=..., limit=10)` drops the list of ten, and not that of twenty."""
    _board(flights)
    board = flights.query("board")
    board("UA")
    board("UA", limit=20)

    board.invalidate_where(carrier="UA", limit=10)
    left_out = (
        "params_left_out",
        "invalidations of its entries leave limit at its default, and there are others",
    )
    assert _gaps(flights) == {left_out}

    board.invalidate_where(carrier="UA")
    board("UA", limit=20)
    assert _gaps(flights) == set()


def test_counts_of_many_kinds_are_bounded_and_told_once(flights: Warmer) -> None:
    """What processes told is added up; a process that sees too many kinds drops some."""
    other = _other(flights)
    for one in (flights, other):
        one.runtime().outcomes.note([f"tag:{n}" for n in range(2 * MOST)], 0)
        one.runtime().outcomes.note(["tag:0"], 3)
        one.runtime().outcomes.flush()
        one.runtime().outcomes.flush()

    found = recorded(flights.runtime().store)
    assert len(found) == MOST
    assert found["tag:0"] == Outcome(4, 2)
    other.close()
