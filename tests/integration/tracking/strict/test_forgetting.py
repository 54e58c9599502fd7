"""Strict queries that nobody has any more are put out of force, and come back by themselves."""

from __future__ import annotations

import pytest

from tests.strict import JANUARY, Strict
from warmer import Warmer
from warmer.core.keyspace import keyspace
from warmer.strict import forgetting
from warmer.strict.resolving import Resolver


def _silence(flights: Warmer, days: float) -> str:
    """The only strict query's name; no process has said for so long that it has it."""
    store, key = flights.runtime().store, keyspace(flights.namespace, 0).strict_since
    (name,) = flights.runtime().strict.survey().names
    record = store.command("HGET", key, name)
    since, seen = (int(part) for part in record[8:].split())
    store.command("HSET", key, name, record[:8] + b"%d %d" % (since, seen - round(days * 86_400e6)))
    return name


def test_a_strict_query_that_nobody_has_any_more_is_forgotten(strict: Strict) -> None:
    """A week after a process last spoke of it: then nobody bars for it, and nothing of it is left stored."""
    flights = strict.made.flights
    _silence(flights, 6.9)
    flights.relay()
    assert (len(flights.runtime().strict.survey().names), strict.is_stored()) == (1, True)

    _silence(flights, 0.2)
    flights.relay()

    assert (len(flights.runtime().strict.survey().names), strict.is_stored()) == (0, False)


def test_a_process_that_has_slept_brings_its_strict_query_into_force_anew(strict: Strict) -> None:
    """What it has was forgotten meanwhile: nothing of it is stored until all writers know of it again."""
    flights = strict.made.flights
    _silence(flights, 8)
    flights.relay()
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, False)
    flights.runtime().resync()
    assert (strict.query(*JANUARY), strict.is_stored()) == (0, False)

    strict.bring_into_force()

    assert (strict.query(*JANUARY), strict.is_stored()) == (0, True)


def test_a_strict_query_that_is_brought_into_force_meanwhile_is_not_forgotten(
    strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writers must bar for what is in force, however long ago anybody spoke of it."""
    flights = strict.made.flights
    _silence(flights, 8)
    monkeypatch.setattr(forgetting, "_put_out_of_force", lambda *_: None)  # as if it had been, and was again

    flights.relay()

    assert (len(flights.runtime().strict.survey().names), strict.is_stored()) == (1, True)


def test_what_was_seen_before_it_was_forgotten_brings_nothing_into_force(strict: Strict) -> None:
    """Who was about to bring it into force is turned away: nobody bars for it now."""
    flights = strict.made.flights
    resolver = Resolver(flights, 0.0)
    life = (flights.runtime().strict.survey().life, *resolver._sinces())
    name = _silence(flights, 8)
    flights.relay()

    assert not resolver._enforce(life, frozenset({name}))
