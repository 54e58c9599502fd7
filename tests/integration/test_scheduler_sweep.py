"""The sweep: what is sent, how much of it, and what happens while the broker is away or nobody works."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import pytest

from tests.working.inline import sweeper, work
from warmer import Query, Warmer
from warmer.errors import BrokerUnreachable, RedisUnreachable
from warmer.store.operations import Claim
from warmer.testing import Clock, ValkeyServer, wait_until


class Sent:
    """A queue that a test looks into; `broken` makes it a broker that is away."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.broken = False
        self.tries = 0

    def __call__(self, _flights: Warmer, claims: Sequence[Claim]) -> None:
        self.tries += 1
        if self.broken:
            raise BrokerUnreachable("redis://127.0.0.1:1/0", "ConnectionRefusedError")
        self.claims += claims


@pytest.fixture
def sent() -> Sent:
    """Where the sweep's messages go."""
    return Sent()


def _query(flights: Warmer, ttl: float = 100) -> Query[[int], int]:
    @flights.cached(ttl=ttl, keep_warm=True, name="number", early=0)
    def number(of: int) -> int:
        return of

    return number


def _due(flights: Warmer, clock: Clock, count: int, ttl: float = 100) -> Query[[int], int]:
    """So many entries that are kept warm and have fallen due."""
    number = _query(flights, ttl)
    for of in range(count):
        number(of)
    clock.advance(ttl)
    return number


def test_a_sweep_sends_what_is_due_and_nothing_else(flights: Warmer, clock: Clock, sent: Sent) -> None:
    """Each due entry gets one message; one that is not due gets none."""
    _due(flights, clock, 3)
    flights.query("number")(99)
    sweep = sweeper(flights, sent)

    assert sweep.sweep() == 3
    assert sweep.sweep() == 0
    assert sorted(claim.member.rpartition(":")[2] for claim in sent.claims) == ["0", "1", "2"]


def test_what_was_sent_is_fresh_when_it_was_worked_on(flights: Warmer, clock: Clock, sent: Sent) -> None:
    """A refresh by message keeps the entry warm, and is due again one ttl later."""
    number = _due(flights, clock, 1)
    sweep = sweeper(flights, sent)
    sweep.sweep()

    assert work(flights, sent.claims) == ["loaded"]

    fresh = number.bind(0).entry()
    assert fresh is not None
    assert fresh.state == "fresh"
    assert sweep.sweep() == 0
    clock.advance(100)
    assert sweep.sweep() == 1


def test_two_schedulers_share_what_is_due(flights: Warmer, clock: Clock, sent: Sent) -> None:
    """Beside each other they send each entry once."""
    _due(flights, clock, 12)

    assert sum(sweeper(flights, sent, name).sweep() for name in ("s1", "s2", "s1")) == 12
    assert len({claim.member for claim in sent.claims}) == 12


def test_no_more_is_sent_than_workers_will_do_soon(flights: Warmer, clock: Clock, sent: Sent) -> None:
    """What waits stays in the index, in the order of what it saves; what gets done makes room."""
    _due(flights, clock, 60)
    sweep = sweeper(flights, sent)

    assert (sweep.sweep(), sweep.sweep()) == (16, 0)
    work(flights, sent.claims[:10])
    assert sweep.sweep() >= 10


def test_fast_workers_get_more(flights: Warmer, clock: Clock, sent: Sent) -> None:
    """Two seconds of what they were seen to do may be under way."""
    _due(flights, clock, 200)
    sweep = sweeper(flights, sent)
    most = 0

    def all_done() -> bool:
        nonlocal most
        most = max(most, sweep.sweep())
        done, sent.claims = sent.claims, []
        return not work(flights, done)

    wait_until(all_done, timeout_s=30, description="everything to be refreshed")

    assert most > 16


def test_shards_share_what_workers_will_do(namespace: str, redis_url: str, sent: Sent) -> None:
    """The bound is the fleet's, not a shard's."""
    with closing(Warmer(namespace, redis_url=redis_url, shards=8)) as flights:
        _due(flights, Clock(flights), 60)
        sweep = sweeper(flights, sent)

        assert (sweep.sweep(), sweep.sweep()) == (16, 0)
        work(flights, sent.claims)
        assert sweep.sweep() + sweep.sweep() >= 16


def test_what_can_not_be_sent_keeps_its_due_time(flights: Warmer, clock: Clock, sent: Sent) -> None:
    """With the broker away, a claim is given back, so that readers see how long the entry has been due."""
    _due(flights, clock, 3)
    sweep = sweeper(flights, sent)
    sweep.sweep()
    due = {claim.member: claim.due_at for claim in sent.claims}
    sent.broken, sent.claims = True, []
    clock.advance(20)  # past the claims

    assert sweep.sweep() == 0

    sent.broken = False
    wait_until(lambda: sweep.sweep() and len(sent.claims) == 3, description="all three to be sent")
    assert all(claim.due_at > due[claim.member] for claim in sent.claims)  # since the end of the first claim
    assert len({claim.due_at for claim in sent.claims}) <= 3


def test_readers_refresh_when_the_broker_stays_away(flights: Warmer, clock: Clock, sent: Sent) -> None:
    """An entry that no message can be sent for is overdue after a claim, and refreshed by a reader."""
    number = _due(flights, clock, 1)
    sent.broken = True
    sweep = sweeper(flights, sent)
    sweep.sweep()
    clock.advance(flights.settings.claim + 1)
    sweep.sweep()

    assert number.read(0).state == "stale"

    def refreshed() -> bool:
        found = number.bind(0).entry()
        return found is not None and found.state == "fresh"

    wait_until(refreshed, description="a reader to have refreshed the entry")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What Warmer logs."""
    with caplog.at_level(logging.INFO, logger="warmer"):
        yield caplog


def test_a_broker_that_is_away_is_told_once(
    flights: Warmer, clock: Clock, sent: Sent, log: pytest.LogCaptureFixture
) -> None:
    """One line when it goes, one when it is back, and one message a second in between to find out."""
    _due(flights, clock, 5)
    sweep = sweeper(flights, sent)
    sent.broken = True

    began = time.monotonic()
    for _ in range(20):
        sweep.sweep()
    assert sent.tries <= 2 + (time.monotonic() - began)
    sent.broken = False
    wait_until(lambda: sweep.sweep() and len(sent.claims) == 5, description="the sweep to go on")

    told = [record.getMessage() for record in log.records if "broker" in record.getMessage()]
    assert len(told) == 2
    assert "can't be reached" in told[0]
    assert told[1].startswith("the broker takes messages again")


def test_while_nobody_works_the_queue_does_not_fill(
    namespace: str, redis_url: str, sent: Sent, log: pytest.LogCaptureFixture
) -> None:
    """After two claims of which nothing came, a few messages find out whether a worker is back."""
    with closing(Warmer(namespace, redis_url=redis_url, claim=0.2, sweep_interval=0.02)) as flights:
        _due(flights, Clock(flights), 40)
        sweep = sweeper(flights, sent)

        def told(text: str) -> bool:
            sweep.sweep()
            return any(text in record.getMessage() for record in log.records)

        wait_until(lambda: told("is a worker running"), description="the absence of workers to be told")
        sent.claims = []
        wait_until(lambda: sweep.sweep() > 0, description="another look for workers")
        assert len(sent.claims) <= 2
        assert work(flights, sent.claims) == ["loaded"] * len(sent.claims)
        wait_until(lambda: told("workers take what is sent again"), description="their return to be told")
        wait_until(lambda: sweep.sweep() > 2, description="the sweep to send more than a few again")


def test_a_sweep_without_redis_says_so_and_the_next_one_works(namespace: str, sent: Sent) -> None:
    """Nothing is remembered that a restart of the server would make wrong."""
    with ValkeyServer(args={"appendonly": "yes"}) as server, ExitStack() as stack:
        flights = stack.enter_context(closing(Warmer(namespace, redis_url=server.url)))
        number, sweep = _query(flights, ttl=0.5), sweeper(flights, sent)
        number(1)
        server.stop()
        with pytest.raises(RedisUnreachable):
            sweep.sweep()

        server.start()

        def sends() -> bool:
            try:
                return sweep.sweep() > 0
            except RedisUnreachable:
                return False

        wait_until(sends, description="the sweep to send what is due")
