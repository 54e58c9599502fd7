"""acquire.lua: who may load, and what the others are told."""

from __future__ import annotations

import pytest

from tests.lua.shard import SECOND, UA, Shard, Subject


def test_the_first_to_ask_gets_the_lease_and_a_stamp_of_now(shard: Shard) -> None:
    """A lease's stamp is a stamp of the shard, not below the server's clock."""
    before = shard.now()

    kind, now, stamp, _ = shard.acquire()

    assert kind == "granted"
    assert before <= stamp
    assert now <= stamp <= now + 1000


def test_a_repeated_token_finds_its_own_lease(shard: Shard) -> None:
    """Asking again with the token of a live lease gives the same lease, as when a reply was lost."""
    first = shard.acquire(token="mine")

    again = shard.acquire(token="mine")

    assert again[0] == "granted"
    assert again[2] == first[2]


def test_one_load_at_a_time(shard: Shard) -> None:
    """While a lease is live, others are told that it is busy, until when, and a stamp of their arrival."""
    _, stamp = shard.lease(lease_us=2 * SECOND)

    kind, _, arrived, lasts_us = shard.acquire()

    assert kind == "busy"
    assert arrived > stamp
    assert 0 < lasts_us <= 2 * SECOND


def test_a_lease_that_was_not_extended_is_taken_over(shard: Shard) -> None:
    """A dead holder is replaced when its lease has run out."""
    shard.lease(lease_us=2 * SECOND)
    shard.advance(2 * SECOND)

    assert shard.acquire()[0] == "granted"


def test_a_lease_never_outlasts_the_timeout_of_the_load(shard: Shard) -> None:
    """Where the load's timeout is shorter than a lease, the lease ends with it."""
    shard.lease(lease_us=10 * SECOND, timeout_us=SECOND)
    shard.advance(SECOND)

    assert shard.acquire()[0] == "granted"


def test_a_stored_value_makes_the_load_unnecessary(shard: Shard) -> None:
    """A reader that missed an entry that was stored meanwhile gets that."""
    shard.store(payload=b"there")

    kind, _, blob = shard.acquire()

    assert kind == "committed"
    assert blob == shard.blob()


@pytest.mark.parametrize(("newer_by", "kind"), [(-1, "committed"), (0, "granted"), (1, "granted")])
def test_only_a_value_of_a_later_lease_will_do(shard: Shard, newer_by: int, kind: str) -> None:
    """`newer_than` is the stamp that a value's lease must be later than."""
    stamp = shard.store()

    assert shard.acquire(newer_than=stamp + newer_by)[0] == kind


def test_a_value_in_an_earlier_layout_is_no_answer(shard: Shard) -> None:
    """It would be misread: it is loaded anew."""
    shard.store_earlier_layout(UA)

    assert shard.acquire(UA, servable=0)[0] == "granted"


def test_a_refresh_is_content_with_no_value_at_all(shard: Shard) -> None:
    """With newer_than "inf" the load goes ahead whatever is stored."""
    shard.store()

    assert shard.acquire(newer_than="inf")[0] == "granted"


@pytest.mark.parametrize(("servable", "kind"), [(1, "granted"), (0, "committed")])
def test_a_value_past_its_grace_will_not_do_for_a_reader(shard: Shard, servable: int, kind: str) -> None:
    """A reader needs a value that may still be served; a message only one of a later load."""
    shard.store(ttl_us=SECOND, grace_us=SECOND)
    shard.advance(2 * SECOND)

    assert shard.acquire(servable=servable)[0] == kind


@pytest.mark.parametrize("servable", [0, 1])
def test_an_invalidated_value_is_no_answer(shard: Shard, servable: int) -> None:
    """What stale_after_write keeps is served by reads, and is never a reason not to load."""
    shard.store()
    shard.invalidate(stale_us=60 * SECOND)

    assert shard.blob() is not None
    assert shard.acquire(servable=servable)[0] == "granted"


def test_an_invalidation_ends_a_lease_and_lets_one_more_load_start(shard: Shard) -> None:
    """A load that began before the invalidation stands aside for one that begins after it."""
    _, doomed = shard.lease()
    shard.invalidate()

    kind, _, stamp, _ = shard.acquire()

    assert kind == "granted"
    assert stamp > doomed


@pytest.mark.parametrize("name", UA.names)
def test_the_fence_ends_a_lease_whichever_of_its_names_was_hit(shard: Shard, name: str) -> None:
    """A stamp on any name of the entry, with no member list that knows of it, ends its lease as well."""
    shard.lease()
    shard.stamp(name)

    assert shard.acquire()[0] == "granted"


def test_no_third_load_starts_beside_a_doomed_one(shard: Shard) -> None:
    """Two invalidations, two loads under way: a third has to wait until the doomed one ends or falls
    silent.
    """
    first, stamp = shard.lease(lease_us=3 * SECOND)
    shard.invalidate()
    shard.lease(lease_us=9 * SECOND)
    shard.invalidate()

    kind, _, _, lasts_us = shard.acquire()

    assert kind == "busy"
    assert lasts_us <= 3 * SECOND, "the doomed one ends first"
    shard.commit(UA, first, stamp)
    assert shard.acquire()[0] == "granted"


def test_a_doomed_load_that_falls_silent_stands_aside_no_longer(shard: Shard) -> None:
    """When the heartbeat of the doomed load stops, its place goes to the next after the lease's time."""
    shard.lease(lease_us=2 * SECOND)
    shard.invalidate()
    shard.lease(lease_us=10 * SECOND)
    shard.invalidate()
    assert shard.acquire()[0] == "busy"

    shard.advance(2 * SECOND)

    assert shard.acquire()[0] == "granted"


def test_a_lease_below_the_floor_is_ended(shard: Shard) -> None:
    """When the fence has let stamps go, what began before them counts as invalidated."""
    shard.lease()
    for name in ("a", "b", "c"):
        shard.stamp(name, most=1)

    assert shard.acquire()[0] == "granted"


def test_a_failure_is_shared_until_its_back_off_is_over(shard: Shard) -> None:
    """Who asks after a failed load is told the cause, and does not repeat it."""
    token, _ = shard.lease()
    _, _, until = shard.fail(UA, token, "ValueError: no such month")

    kind, now, told_until, record = shard.acquire()

    assert (kind, told_until) == ("failed", until)
    assert now < until
    assert record.split(" ", 3)[3] == "ValueError: no such month"
    shard.advance(until - now)
    assert shard.acquire()[0] == "granted"


def test_a_refresh_by_hand_does_not_wait_for_the_back_off(shard: Shard) -> None:
    """Who insists loads at once, failure or not."""
    token, _ = shard.lease()
    shard.fail(UA, token)

    assert shard.acquire(insist=1)[0] == "granted"


@pytest.mark.parametrize("name", UA.names)
def test_a_failure_ends_with_the_next_invalidation(shard: Shard, name: str) -> None:
    """After an invalidation of any name, the cause may be gone: the next reader loads."""
    token, _ = shard.lease()
    shard.fail(UA, token)

    shard.stamp(name)

    assert shard.acquire()[0] == "granted"


def test_loads_keep_their_least_distance(shard: Shard) -> None:
    """With min_interval, a further load waits until that much has passed since the last one began."""
    shard.store(interval_us=5 * SECOND)
    shard.invalidate()

    kind, now, until = shard.acquire(interval_us=5 * SECOND)

    assert kind == "soon"
    assert now < until <= now + 5 * SECOND
    assert shard.acquire(interval_us=5 * SECOND, insist=1)[0] == "granted", "a refresh by hand goes ahead"


def test_the_least_distance_is_over_in_time(shard: Shard) -> None:
    """When min_interval has passed since the last load began, the next one is granted."""
    shard.store(interval_us=5 * SECOND)
    shard.invalidate()

    shard.advance(5 * SECOND)

    assert shard.acquire(interval_us=5 * SECOND)[0] == "granted"


def test_a_load_under_way_is_waited_for_whatever_the_least_distance(shard: Shard) -> None:
    """A reader that comes while a load runs waits for that load, and is woken by it, min_interval or not."""
    shard.lease(interval_us=5 * SECOND)

    assert shard.acquire(interval_us=5 * SECOND)[0] == "busy"
    assert shard.hash("waiting") is not None


def test_who_only_looks_is_never_granted_a_lease(shard: Shard) -> None:
    """A reader with miss="wait" waits for a worker, even when nobody loads."""
    assert shard.acquire(insist=2)[0] == "busy"
    assert shard.hash("leases") is None
    assert shard.hash("waiting") is not None


def test_who_only_looks_sees_what_was_stored(shard: Shard) -> None:
    """A reader with miss="wait" gets the value that a worker has stored."""
    shard.store()

    assert shard.acquire(insist=2)[0] == "committed"


def test_who_only_looks_hears_of_a_failure(shard: Shard) -> None:
    """A reader with miss="wait" is told that the worker's load failed, as any other reader is."""
    token, _ = shard.lease()
    shard.fail(UA, token)

    assert shard.acquire(insist=2)[0] == "failed"


def test_nobody_waits_for_more_than_two_loads(shard: Shard) -> None:
    """Who came during a load gets the value of the next one, even if both were refused, and even if it was
    woken in
    between and has not asked again yet."""
    first, first_stamp = shard.lease()
    arrived = shard.acquire()[2]
    shard.stamp(UA.name)
    shard.commit(UA, first, first_stamp)
    second, stamp = shard.lease(names=UA.names)
    shard.stamp(UA.name)
    assert shard.commit(UA, second, stamp, payload=b"second")[0] == "refused"

    kind, _, blob = shard.acquire(arrived=arrived)

    assert kind == "handed"
    assert blob.endswith(b"second")


@pytest.mark.parametrize(("arrived_by", "kind"), [(-1, "handed"), (0, "granted"), (1, "granted")])
def test_a_refused_value_goes_to_exactly_those_before_its_lease(
    shard: Shard, arrived_by: int, kind: str
) -> None:
    """By hand, a value goes only to readers whose arrival is older than the stamp of the load's lease."""
    token, stamp = shard.lease()
    assert shard.acquire()[0] == "busy"  # so that somebody waits
    shard.stamp(UA.name)
    assert shard.commit(UA, token, stamp, payload=b"refused")[0] == "refused"

    reply = shard.acquire(arrived=stamp + arrived_by)

    assert reply[0] == kind
    if kind == "handed":
        assert reply[2].endswith(b"refused")


def test_a_refused_value_is_not_handed_to_those_who_have_just_come(shard: Shard) -> None:
    """Who has not waited yet arrived after everything: nothing is handed to it."""
    token, stamp = shard.lease()
    shard.acquire()
    shard.stamp(UA.name)
    shard.commit(UA, token, stamp)

    assert shard.acquire(arrived="inf")[0] == "granted"


def test_a_refused_value_is_kept_only_if_somebody_waits(shard: Shard) -> None:
    """Without readers elsewhere nothing is kept of a refused commit."""
    token, stamp = shard.lease()
    shard.stamp(UA.name)

    shard.commit(UA, token, stamp)

    assert shard.redis.exists(shard.key(f"handoff:{UA.member}")) == 0


def test_entries_do_not_touch_each_other(shard: Shard) -> None:
    """The lease of one entry keeps nobody from another entry of the same query."""
    shard.lease(Subject("UA"))

    assert shard.acquire(Subject("AA"))[0] == "granted"
