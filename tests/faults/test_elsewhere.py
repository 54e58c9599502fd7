"""What was applied at a primary that others had left is applied again at the one that they went to.

Without any setting: entries are not trusted over a change of life here, but those that were loaded after it
must not be older than a commit that has returned.
"""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.faults.switch import Switch
from tests.tracked import CALLS, Tracked
from tests.trusting.fleet import Fleet, delay, stored
from warmer.outbox import elsewhere, rows
from warmer.outbox.relay import Relay
from warmer.outbox.schema import outbox
from warmer.testing import ValkeyServer, wait_until

pytestmark = pytest.mark.faults

UA_JANUARY, UA_FEBRUARY, AA_JANUARY = CALLS


@pytest.fixture
def replica(fleet: Fleet, replica: ValkeyServer) -> ValkeyServer:
    """A replica that has all that the fleet's server has."""
    fleet.copied(replica)
    return replica


def _process(fleet: Fleet, server: ValkeyServer | None = None) -> Tracked:
    """One without any setting, that has cached everything."""
    made = fleet.process((server or fleet.server).url, invalidate_through="direct")
    made.fill()
    return made


@pytest.mark.parametrize("fleet_engine", ["sqlite", "postgresql"], indirect=True)
def test_a_commit_that_was_applied_at_the_old_primary(fleet: Fleet, replica: ValkeyServer) -> None:
    """It returned after others had loaded the old row at the new one: a relay there finds it by its mark, as
    often as it happens, and what was committed before the failover is not touched.
    """
    writer = _process(fleet)
    delay(writer, 3, 1)
    fleet.marked()
    fleet.copied(replica)
    fleet.promote(replica)
    reader = _process(fleet, replica)
    relay = Relay(reader.flights)
    relay.step()
    assert stored(reader) == set(CALLS), "the new one has what was marked by then"
    for minutes in (5, 6):
        delay(writer, 1, minutes)
        fleet.marked()
        assert reader.delays(*UA_JANUARY) == minutes - (5 if minutes == 5 else 1), "the interleaving itself"

        assert relay.step() == 1

        assert stored(reader) == {UA_FEBRUARY, AA_JANUARY}
        assert reader.delays(*UA_JANUARY) == minutes
        assert relay.step() == 0, "it is marked with this life now"


def test_a_load_that_is_under_way_stores_nothing(fleet: Fleet, replica: ValkeyServer) -> None:
    """It began at the new primary before the COMMIT, and ends after the row was applied again."""
    writer = _process(fleet)
    fleet.copied(replica)
    fleet.promote(replica)
    reader = _process(fleet, replica)
    relay, found = Relay(reader.flights), reader.delays.bind(*UA_JANUARY)
    relay.step()

    @reader.flights.cached(ttl=600, name="late", version="1", depends_on={"flights": ("carrier", "month")})
    def late(carrier: str, month: int) -> int:
        value = reader.delays.fn(carrier, month)
        if value == 0:
            delay(writer, 1, 5)
            fleet.marked()
            assert relay.step() == 1
        return value

    assert late(*UA_JANUARY) == 0, "it was read before the commit returned"

    assert found.get() == late(*UA_JANUARY) == 5


def test_the_writer_itself_looks_where_there_is_no_relay(fleet: Fleet, replica: ValkeyServer) -> None:
    """It leaves the old primary within seconds, and then knows that what it marked there is lacking."""
    with Switch(fleet.server.port or 0) as switch:
        writer = fleet.process(switch.url, invalidate_through="direct")
        with closing(writer.flights):
            writer.fill()
            fleet.copied(replica)
            fleet.promote(replica)
            switch.to(replica.port or 0)
            reader = _process(fleet, replica)

            delay(writer, 1, 5)

            wait_until(lambda: reader.delays(*UA_JANUARY) == 5, timeout_s=30, description="what was lacking")
            assert {UA_FEBRUARY, AA_JANUARY} <= stored(reader)


def test_who_applies_it_dies_before_it_is_marked(
    fleet: Fleet, replica: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes next applies it once more."""
    writer = _process(fleet)
    fleet.copied(replica)
    fleet.promote(replica)
    reader = _process(fleet, replica)
    delay(writer, 1, 5)
    fleet.marked()

    def dying(*_: object, **__: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(rows, "mark", dying)
        with pytest.raises(OSError, match="killed"):
            Relay(reader.flights).step()

    assert Relay(reader.flights).step() == 1
    assert stored(reader) == {UA_FEBRUARY, AA_JANUARY}


def test_only_what_was_marked_since_the_life_began(fleet: Fleet) -> None:
    """A server that comes back with nothing lacks all; of what was marked a while before it began, nothing
    that is loaded since can be too old.
    """
    made = _process(fleet)
    delay(made, 1, 5)
    fleet.marked()
    _backdate(fleet, elsewhere.SET_BY_S + 30)
    delay(made, 2, 6)
    fleet.marked()
    fleet.server.kill()
    (fleet.server.data_dir / "dump.rdb").unlink(missing_ok=True)
    fleet.server.start()
    made.fill()

    assert Relay(made.flights).step() == 1

    assert stored(made) == {UA_JANUARY, AA_JANUARY}
    assert Relay(made.flights).step() == 0


def _backdate(fleet: Fleet, by_s: float) -> None:
    with fleet.engine.begin() as connection:
        then = rows.clock(connection) - timedelta(seconds=by_s)
        connection.execute(update(outbox).values(applied_at=then), execution_options=rows.OURS)


def test_of_lives_beyond_the_latest_ones_all_is_applied_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of them there are, what is looked for stays short."""
    monkeypatch.setattr(elsewhere, "MOST_LIVES", 2)
    made = _process(fleet)
    for n in range(4):
        delay(made, 1, n + 1)
    fleet.marked()
    with fleet.engine.begin() as connection:
        for mark, life in zip(_marks(fleet), ("a" * 8, "b" * 8, "c" * 8), strict=False):
            other = update(outbox).where(outbox.c.id == mark.id).values(life=life)
            connection.execute(other, execution_options=rows.OURS)
    _backdate(fleet, elsewhere.SET_BY_S + 30)
    present = _marks(fleet)[-1].life

    assert Relay(made.flights).step() == 1

    assert [mark.life for mark in _marks(fleet)].count(present) == 2
    assert Relay(made.flights).step() == 0


def _marks(fleet: Fleet) -> list[Any]:
    with fleet.engine.connect() as connection:
        return list(connection.execute(select(outbox.c.id, outbox.c.life).order_by(outbox.c.id)))
