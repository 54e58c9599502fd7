"""What is known of lives of the server that are long over is forgotten, and trust returns all the same."""

from __future__ import annotations

import pytest

from tests.tracked import CALLS
from tests.trusting.fleet import Fleet, delay, stored
from warmer.outbox import horizon
from warmer.outbox.relay import Relay

pytestmark = pytest.mark.faults

OLDER = "denied: its data is older than the replay window"
TWO_DAYS_US = 2 * 86_400_000_000


def _taken(fleet: Fleet) -> tuple[str, set[str]]:
    """The base, and the lives of which it is known what was taken."""
    with fleet.engine.connect() as connection:
        return horizon.base(connection, fleet.namespace), set(horizon.read(connection, fleet.namespace))


def test_a_life_that_has_lasted_becomes_the_base(fleet: Fleet) -> None:
    """What was taken of a life that no data has come through speaks against trust until a life has lasted for
    longer than rows are kept; from then on, data from before it is too old.
    """
    made = fleet.filled()
    before = fleet.snapshot("before")
    with fleet.engine.begin() as connection:
        horizon.move(connection, fleet.namespace, [("deadbeef", 5)])
    fleet.restore(before)
    relay = Relay(made.flights)
    assert fleet.decide(made, relay) == OLDER
    relay.step()
    assert _taken(fleet) == ("", {"deadbeef"}), "this life is young"

    with fleet.client() as client:
        client.set(fleet.keys.clock, TWO_DAYS_US)
        present = (client.hget(fleet.keys.life, "current") or b"").decode()
    Relay(made.flights).step()

    assert _taken(fleet) == (present, set())
    made.fill()
    delay(made, 1, 5)
    fleet.marked()
    fleet.restore(fleet.snapshot())
    assert fleet.decide(made).startswith("returned")
    assert stored(made) == set(CALLS[1:])
    fleet.restore(before)
    assert fleet.decide(made) == OLDER
    assert stored(made) == set()
