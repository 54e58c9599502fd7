"""The server is another one between replaying rows of the outbox and marking them: all over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.tracked import CALLS
from tests.trusting.fleet import Fleet, delay, set_back, stored
from warmer.errors import RedisUnreachable
from warmer.outbox import trust
from warmer.outbox.settling import Settled, settle
from warmer.store.operations import Store
from warmer.testing import ValkeyServer, wait_until

pytestmark = pytest.mark.faults

UA_JANUARY, UA_FEBRUARY, AA_JANUARY = CALLS


def _answers(store: Store) -> bool:
    try:
        return bool(store.command("PING"))
    except RedisUnreachable:
        return False


def test_a_restart_between_a_batch_and_its_mark(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was replayed is not in the data that comes up: it must not be marked as if it were."""
    made, old = set_back(fleet)
    before: list[set[Any]] = []

    def restarted(store: Store, lives: Iterable[bytes]) -> Settled | None:
        if lives and not before:
            before.append(stored(made))
            fleet.restore(old)
            wait_until(lambda: _answers(store), description="the server to be used again")
        return settle(store, lives)

    monkeypatch.setattr(trust, "BATCH", 1)
    monkeypatch.setattr(trust, "settle", restarted)

    assert fleet.decide(made).startswith("returned")

    assert before
    assert stored(made) == {AA_JANUARY}


def test_a_batch_that_went_to_another_primary(
    fleet: Fleet, replica: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was promoted while the old one answers: it has what was replayed, and the old one has not."""
    made = fleet.filled()
    old = fleet.snapshot()
    fleet.copied(replica)
    fleet.promote(replica)
    delay(made, 1, 5)
    delay(made, 2, 5)
    fleet.marked()
    fleet.restore(old)
    other, apply, went = fleet.process(replica.url), trust.Trust._apply, list[bool]()

    def astray(self: trust.Trust, *about: Any) -> bool:
        if went:
            return apply(self, *about)
        with monkeypatch.context() as patched:
            patched.setattr(made.flights, "runtime", other.flights.runtime)
            went.append(apply(self, *about))
        return went[0]

    monkeypatch.setattr(trust, "BATCH", 1)
    monkeypatch.setattr(trust.Trust, "_apply", astray)

    assert fleet.decide(made).startswith("returned")

    assert went
    assert stored(made) == {AA_JANUARY}
