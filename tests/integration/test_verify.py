"""The audit on a live namespace: what it calls wrong, and what it does not."""

from __future__ import annotations

import logging
import random
import threading
from pathlib import Path

import pytest

from tests.commanding.projects import write_tasks
from tests.commanding.session import Session
from warmer import Query, Warmer
from warmer.scheduler.jobs import jobs
from warmer.scheduler.process import run
from warmer.testing import python, wait_until
from warmer.verify import Audit


class Depot:
    """Rows in a dictionary, and queries over them."""

    def __init__(self, flights: Warmer) -> None:
        self.flights, self.rows, self.broken, self.loads = flights, {"JFK": 1, "EWR": 2}, False, 0

        @flights.cached(ttl=60, name="gates", version="1", tags=("gates",))
        def gates(airport: str) -> int:
            if self.broken:
                raise LookupError("no database")
            return self.rows[airport]

        @flights.cached(ttl=60, name="by_time", version="1")
        def by_time(airport: str) -> int:
            return self.rows[airport]

        @flights.cached(ttl=60, name="letters", version="1", tags=("letters",))
        def letters(word: str) -> dict[str, int]:
            self.loads += 1
            return {letter: word.count(letter) for letter in sorted(word, reverse=self.loads % 2 == 0)}

        self.gates: Query[[str], int] = gates
        self.by_time: Query[[str], int] = by_time
        self.letters: Query[[str], dict[str, int]] = letters

    def audit(self, *queries: str, rechecks_s: tuple[float, ...] = (0, 0, 0)) -> Audit:
        """Of these queries."""
        readings = [self.flights.readings[name] for name in queries]
        return Audit(self.flights.runtime(), readings, rechecks_s, random.Random(7))


@pytest.fixture
def depot(flights: Warmer) -> Depot:
    """Two rows, both of them read once."""
    depot = Depot(flights)
    for airport in depot.rows:
        depot.gates(airport)
    return depot


def test_what_agrees_is_a_sample(depot: Depot) -> None:
    """Each step holds one entry against the database; the bound is what that many samples carry."""
    audit = depot.audit("gates")

    assert {audit.step() for _ in range(20)} == {"same"}
    assert (audit.report.samples, audit.report.diverging) == (20, 0)
    assert audit.report.in_words() == "no more than 1.4 in 10 entries, from 20 samples, at 95 % confidence"


def test_what_stays_different_diverges(depot: Depot, caplog: pytest.LogCaptureFixture) -> None:
    """A row that changed behind everybody's back is reported with its history, after every further look."""
    depot.rows["JFK"] = 7
    audit = depot.audit("gates")

    with caplog.at_level(logging.ERROR, "warmer"):
        while audit.step() != "suspect":
            assert audit.report.diverging == 0
        looked_again = [audit.step(sampling=False) for _ in range(4)]

    assert looked_again == ["suspect", "suspect", "suspect", "none"]
    assert audit.report.diverging == 1
    divergence = audit.report.divergences[0]
    assert (divergence.query, divergence.params) == ("gates", "JFK")
    assert divergence.entry.names["g:gates"] is None
    assert divergence.entry.state == "fresh"
    assert "differs from the database" in caplog.text
    assert depot.flights.runtime().counts.snapshot()["verify_divergences"] == 1


def test_what_is_in_flight_does_not_diverge(depot: Depot) -> None:
    """A change whose invalidation comes between the first look and the next is none."""
    depot.rows = {"JFK": 7, "EWR": 8}
    audit = depot.audit("gates")

    assert audit.step() == "suspect"
    assert audit.report.settling == 1
    depot.flights.invalidate_tags("gates")
    assert audit.step() == "gone"
    assert (audit.report.samples, audit.report.diverging, audit.report.settling) == (1, 0, 0)


def test_what_is_replaced_while_it_is_compared_does_not_diverge(depot: Depot) -> None:
    """An entry that was loaded anew since the first look is another entry, right or not."""
    depot.rows = {"JFK": 7, "EWR": 8}
    audit = depot.audit("gates")

    assert audit.step() == "suspect"
    depot.gates.refresh("JFK")
    depot.gates.refresh("EWR")
    assert audit.step() == "gone"
    assert audit.report.diverging == 0


def test_a_look_again_waits_for_its_time(depot: Depot) -> None:
    """Between two looks at a suspect, others are drawn, and never the suspect itself."""
    depot.rows["JFK"] = 7
    audit = depot.audit("gates", rechecks_s=(3600,))

    steps = [audit.step() for _ in range(30)]

    assert steps.count("suspect") == 1
    assert {"same", "none"} >= set(steps) - {"suspect"}
    assert 3500 < (audit.next_look_s() or 0) <= 3600
    assert audit.step(sampling=False) == "none"


def test_what_nothing_invalidates_is_counted_apart(depot: Depot) -> None:
    """Without dependencies and tags an entry is as old as its ttl lets it be, by declaration."""
    depot.by_time("JFK")
    depot.rows["JFK"] = 7
    audit = depot.audit("by_time")

    assert audit.step() == "suspect"
    assert (audit.report.by_time, audit.report.samples, audit.report.settling) == (1, 0, 0)


def test_a_load_that_fails_proves_nothing(depot: Depot) -> None:
    """It is neither a sample nor a divergence, and its cause is told."""
    depot.broken = True
    audit = depot.audit("gates")

    assert audit.step() == "failed"
    assert (audit.report.samples, audit.report.failed) == (0, 1)
    assert "LookupError: no database" in audit.report.failures[0]


def test_equal_values_agree_however_they_are_written(depot: Depot) -> None:
    """A dictionary's order is no difference."""
    depot.letters("stale")
    audit = depot.audit("letters")

    assert {audit.step() for _ in range(4)} == {"same"}


def test_what_is_not_served_is_not_looked_at(depot: Depot) -> None:
    """Indexed entries without a value, and namespaces without entries, give no sample."""
    audit = depot.audit("gates")
    depot.flights.runtime().store.command("DEL", depot.gates.bind("JFK").key, depot.gates.bind("EWR").key)

    assert audit.step() == "gone"
    assert depot.audit("by_time").step() == "none"


def test_a_scheduler_audits_all_the_time(namespace: str, redis_url: str) -> None:
    """With `verify_interval` set, it is one of the engine's jobs, and its samples are counted."""
    flights = Warmer(namespace, redis_url=redis_url, verify_interval=0.05)
    depot = Depot(flights)
    depot.gates("JFK")
    stop = threading.Event()
    scheduler = threading.Thread(target=run, args=(flights,), kwargs={"stop": stop})
    counts = flights.runtime().counts

    scheduler.start()
    try:
        wait_until(lambda: counts.snapshot().get("verify_samples", 0) > 2, description="three samples")
    finally:
        stop.set()
        scheduler.join(20)
        flights.close()

    assert "verify" in [job.name for job in jobs(flights)]


_TASKS = """
from pathlib import Path
from warmer import Warmer

shop = Warmer("shop")


@shop.cached(ttl=600, name="price", version="1", tags=("prices",))
def price(item: str) -> str:
    return Path("price.txt").read_text()
"""


def test_the_command_tells_and_exits(tmp_path: Path, redis_url: str) -> None:
    """`warmer verify` exits 0 while all agree, and 1 with the entry and its names when one does not."""
    folder = write_tasks(tmp_path / "shop", _TASKS)
    (folder / "price.txt").write_text("1")
    env = {"WARMER_REDIS_URL": redis_url}
    with python("-c", "import tasks; tasks.price('[b]tea'); tasks.shop.close()", cwd=folder, env=env) as read:
        assert read.wait(30) == 0, read.output()

    with Session(folder, env) as warmer:
        agreed = warmer("verify", "--rate", "50", "--for", "0.5", "--json")
        (folder / "price.txt").write_text("2")
        differs = warmer("verify", "price", "--rate", "50", "--for", "0.2", "--recheck", "0.01,0.1")
        refused = warmer("verify", "--recheck", "5,1")
        warmer("invalidate", "price", "--all")
        empty = warmer("verify", "--for", "0.1")

    assert agreed.code == 0, agreed.err
    assert agreed.json["samples"] > 0 == agreed.json["diverging"]
    assert differs.code == 1
    assert "stayed different" in differs.out
    assert "price(" in differs.out
    assert "g:prices  never invalidated" in differs.out
    assert refused.code == 2
    assert (empty.code, empty.out.startswith("no entry was held against the database")) == (0, True)
