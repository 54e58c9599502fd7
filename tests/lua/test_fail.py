"""fail.lua, extend.lua, release.lua, leave.lua: the other ways in which a lease goes on or ends."""

from __future__ import annotations

import pytest

from tests.lua.shard import LEASE_US, SECOND, UA, Shard, Subject
from warmer.core.due import backoff_us


def test_a_failure_ends_the_lease_and_backs_off(shard: Shard) -> None:
    """The next load may begin when the back-off is over, and not before."""
    token, _ = shard.lease()

    kind, now, until = shard.fail(UA, token, jitter=1.0)

    assert kind == "failed"
    assert until - now == SECOND
    assert shard.hash("leases") is None


@pytest.mark.parametrize("jitter", [0.0, 0.37, 0.999])
def test_the_back_off_grows_as_the_core_says(shard: Shard, jitter: float) -> None:
    """Each failure in a row rests as long as backoff_us, up to its bound."""
    rests = []
    for _ in range(9):
        token, _ = shard.lease(insist=1)
        _, now, until = shard.fail(UA, token, jitter=jitter)
        rests.append(until - now)

    assert rests == [backoff_us(count, jitter) for count in range(1, 10)]


def test_a_failure_without_the_lease_says_lost(shard: Shard) -> None:
    """Who does not hold the lease can't put the entry into a back-off."""
    shard.lease()

    assert shard.fail(UA, "nobody")[0] == "lost"
    assert shard.hash("failures") is None
    assert shard.hash("leases") is not None


def test_a_repeated_failure_counts_once(shard: Shard) -> None:
    """A failure whose reply was lost is told again without effect."""
    token, _ = shard.lease()
    shard.fail(UA, token)
    record = shard.hash("failures")

    assert shard.fail(UA, token)[0] == "lost"
    assert shard.hash("failures") == record


def test_a_load_past_its_timeout_still_counts_as_failed(shard: Shard) -> None:
    """The load that ran out of time says so after its lease is over, and the back-off begins."""
    token, _ = shard.lease(timeout_us=SECOND)
    shard.advance(2 * SECOND)

    assert shard.fail(UA, token)[0] == "failed"
    assert shard.acquire()[0] == "failed"


def test_a_late_failure_does_not_touch_the_next_holder(shard: Shard) -> None:
    """After a take-over, the failure of the old load says nothing about the new one."""
    old, _ = shard.lease(lease_us=SECOND)
    shard.advance(SECOND)
    new, stamp = shard.lease()

    assert shard.fail(UA, old)[0] == "lost"
    assert shard.commit(UA, new, stamp)[0] == "stored"


def test_a_doomed_load_that_fails_gives_up_its_place(shard: Shard) -> None:
    """The failure of a load that was invalidated anyway is no failure of the entry."""
    doomed, _ = shard.lease()
    shard.invalidate()
    token, stamp = shard.lease()

    assert shard.fail(UA, doomed)[0] == "lost"
    assert shard.hash("doomed") is None
    assert shard.hash("failures") is None
    assert shard.commit(UA, token, stamp)[0] == "stored"


def test_the_cause_may_hold_anything(shard: Shard) -> None:
    """Spaces, digits and line ends of a cause come back as they were."""
    token, _ = shard.lease()
    cause = "KeyError: '3 4 5'\n  at line 7 — é"

    shard.fail(UA, token, cause)

    assert shard.acquire()[3].split(" ", 3)[3] == cause


@pytest.mark.parametrize(("keep", "tried_again"), [("always", True), ("never", False), ("while_read", False)])
def test_only_what_is_kept_warm_is_tried_again_by_itself(shard: Shard, keep: str, tried_again: bool) -> None:
    """A kept entry is due when its back-off is over; any other waits for its next reader."""
    shard.store(keep="always")
    token, _ = shard.lease(newer_than="inf")

    _, _, until = shard.fail(UA, token, keep=keep)

    assert shard.due() == (until if tried_again else float("inf"))


def test_a_failed_load_wakes_who_waits(shard: Shard) -> None:
    """Readers of other processes need not wait for the poll to hear of a failure."""
    token, _ = shard.lease()
    assert shard.acquire()[0] == "busy"
    heard = shard.redis.pubsub()
    heard.subscribe(shard.key("wake"))
    assert heard.get_message(timeout=5)

    shard.fail(UA, token)

    assert heard.get_message(timeout=5) is not None
    heard.close()


def test_a_load_that_must_not_be_stored_leaves_its_entry_alone_for_a_while(shard: Shard) -> None:
    """What is kept warm is not loaded again and again for nothing; who reads it may load it at once."""
    shard.store(keep="always")
    shard.redis.zadd(shard.key("index:q"), {UA.member: shard.now()})
    assert shard.claimed() == [UA.member]
    token, _ = shard.lease(newer_than="inf")

    assert shard.leave(UA, token, rest_us=5 * SECOND) == "left"

    assert shard.claimed() == []
    assert shard.redis.get(shard.key("settled")) == b"1"
    assert shard.lease(newer_than="inf")
    shard.advance(20 * SECOND)
    assert shard.claimed() == [UA.member]


def test_what_nobody_keeps_warm_stays_so_when_a_load_leaves_it(shard: Shard) -> None:
    """No load is owed to an entry that only its readers load."""
    shard.store()
    token, _ = shard.lease(newer_than="inf")

    shard.leave(UA, token)

    assert shard.due() == float("inf")


def test_only_the_holder_leaves(shard: Shard) -> None:
    """Who does not hold the lease ends nothing; a doomed load gives up its place."""
    doomed, _ = shard.lease()
    shard.invalidate()
    token, stamp = shard.lease()

    assert shard.leave(UA, "nobody") == "lost"
    assert shard.leave(UA, doomed) == "left"
    assert shard.hash("doomed") is None
    assert shard.commit(UA, token, stamp)[0] == "stored"


def test_a_load_that_leaves_wakes_who_waits(shard: Shard) -> None:
    """The next one loads at once."""
    token, _ = shard.lease()
    assert shard.acquire()[0] == "busy"
    heard = shard.redis.pubsub()
    heard.subscribe(shard.key("wake"))
    assert heard.get_message(timeout=5)

    shard.leave(UA, token)

    assert heard.get_message(timeout=5) is not None
    heard.close()


def test_a_heartbeat_keeps_a_lease_alive(shard: Shard) -> None:
    """A lease that is extended in time outlasts its first length many times over."""
    token, stamp = shard.lease(lease_us=2 * SECOND, timeout_us=30 * SECOND)
    for _ in range(10):
        shard.advance(SECOND)
        assert shard.extend((UA, token), lease_us=2 * SECOND) == ["held"]

    assert shard.commit(UA, token, stamp)[0] == "stored"


def test_a_heartbeat_ends_at_the_timeout_of_the_load(shard: Shard) -> None:
    """A load that never returns loses its lease at its timeout, however busily it is extended."""
    token, stamp = shard.lease(lease_us=2 * SECOND, timeout_us=5 * SECOND)
    for _ in range(4):
        shard.advance(SECOND)
        assert shard.extend((UA, token), lease_us=2 * SECOND) == ["held"]

    shard.advance(SECOND)

    assert shard.extend((UA, token), lease_us=2 * SECOND) == ["lost"]
    assert shard.acquire()[0] == "granted"
    assert shard.commit(UA, token, stamp)[0] == "lost"


def test_a_heartbeat_tells_each_lease_apart(shard: Shard) -> None:
    """One call answers for all loads of a process: held, doomed by an invalidation, lost."""
    a, b, c = (Subject(name) for name in "ABC")
    held, _ = shard.lease(a)
    doomed, _ = shard.lease(b)
    shard.invalidate(b)
    lost, _ = shard.lease(c, lease_us=SECOND)
    shard.advance(SECOND)

    assert shard.extend((a, held), (b, doomed), (c, lost), (a, "nobody")) == [
        "held",
        "doomed",
        "lost",
        "lost",
    ]


def test_a_heartbeat_does_not_bring_back_a_lease_that_was_taken_over(shard: Shard) -> None:
    """A process that was paused past its lease finds it lost, and the next holder keeps it."""
    old, _ = shard.lease(lease_us=SECOND)
    shard.advance(SECOND)
    new, stamp = shard.lease()

    assert shard.extend((UA, old)) == ["lost"]
    assert shard.commit(UA, new, stamp)[0] == "stored"


def test_a_doomed_load_keeps_its_place_while_it_is_extended(shard: Shard) -> None:
    """As long as a doomed load is alive, no third one starts."""
    doomed, _ = shard.lease(lease_us=2 * SECOND)
    shard.invalidate()
    shard.lease(lease_us=LEASE_US)
    shard.invalidate()

    shard.advance(SECOND)
    assert shard.extend((UA, doomed), lease_us=2 * SECOND) == ["doomed"]
    shard.advance(SECOND)

    assert shard.acquire()[0] == "busy"


def test_a_released_lease_is_free_at_once(shard: Shard) -> None:
    """A process that stops in mid-load leaves no wait behind."""
    token, _ = shard.lease()

    assert shard.release(UA, token) == "released"
    assert shard.release(UA, token) == "lost"
    assert shard.acquire()[0] == "granted"


def test_a_doomed_load_can_be_released_too(shard: Shard) -> None:
    """Its place beside the next load is free at once."""
    doomed, _ = shard.lease()
    shard.invalidate()
    shard.lease()
    shard.invalidate()
    assert shard.acquire()[0] == "busy"

    assert shard.release(UA, doomed) == "released"
    assert shard.acquire()[0] == "granted"


def test_who_does_not_hold_a_lease_can_not_release_it(shard: Shard) -> None:
    """The lease of another stays."""
    shard.lease()

    assert shard.release(UA, "nobody") == "lost"
    assert shard.acquire()[0] == "busy"


def test_a_released_entry_is_due_at_once(shard: Shard) -> None:
    """A kept entry whose load was given up is claimed by the next sweep."""
    shard.store(keep="always")
    shard.advance(300 * SECOND)
    assert shard.claimed() == [UA.member]
    token, _ = shard.lease(newer_than="inf")

    shard.release(UA, token)

    assert shard.claimed() == [UA.member]
