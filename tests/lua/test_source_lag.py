"""commit.lua, of loads whose source lags behind: what may be from before an invalidation goes soon."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lua.shard import SECOND, UA, Shard, new_life
from warmer.core.header import Header

LAG = 5 * SECOND


@pytest.fixture
def lagging(shard: Shard) -> Shard:
    """A shard whose life has begun long enough ago."""
    shard.stamp("something else")
    shard.advance(60 * SECOND)
    return shard


def _header(shard: Shard, **how: Any) -> Header:
    shard.store(lag_us=LAG, keep="always", **how)
    header = shard.header()
    assert header is not None
    return header


def test_what_is_loaded_within_the_lag_goes_when_the_lag_has_passed(lagging: Shard) -> None:
    """An invalidation repeats itself: fresh, grace and due time end that long after its stamp."""
    stamp = lagging.stamp(UA.name)
    lagging.advance(2 * SECOND)

    header = _header(lagging)

    assert header.fresh_until == header.grace_until == header.due_at == lagging.due() == stamp + LAG
    assert 0 < lagging.redis.pttl(lagging.key(f"e:{UA.member}")) <= 3_001


def test_what_is_loaded_after_the_lag_is_kept(lagging: Shard) -> None:
    """A load that began a lag after the newest stamp of its names has seen all of it."""
    lagging.stamp(UA.name)
    lagging.advance(LAG)

    header = _header(lagging)

    assert header.fresh_until == header.stored_at + 300 * SECOND
    assert header.grace_until == header.stored_at + 600 * SECOND


def test_it_is_the_beginning_of_the_load_that_counts(lagging: Shard) -> None:
    """A load that takes longer than the lag, and began within it, is not stored: it is due for another."""
    lagging.store(keep="always")
    lagging.stamp(UA.name)
    token, stamp = lagging.lease(newer_than="inf")
    lagging.advance(LAG)

    assert lagging.commit(UA, token, stamp, lag_us=LAG, keep="always")[0] == "refused"
    assert lagging.claimed() == [UA.member]
    assert _header(lagging).fresh_until > lagging.now() + LAG


def test_only_stamps_of_the_entrys_own_names_count(lagging: Shard) -> None:
    """What others invalidate says nothing of it."""
    lagging.stamp("t:other")

    assert _header(lagging).fresh_until > lagging.now() + LAG


def test_names_that_a_load_found_count_too(lagging: Shard) -> None:
    """They are checked like the others."""
    stamp = lagging.stamp("g:found")

    header = _header(lagging, names=[*UA.names, "g:found"])

    assert header.grace_until == stamp + LAG


def test_a_short_ttl_stays_as_short(lagging: Shard) -> None:
    """Only what would outlast the lag is cut."""
    stamp = lagging.stamp(UA.name)

    header = _header(lagging, ttl_us=SECOND)

    assert header.fresh_until == header.stored_at + SECOND
    assert header.grace_until == stamp + LAG


def test_a_new_life_may_have_forgotten_an_invalidation(lagging: Shard) -> None:
    """Within the lag of a restart or failover, nothing is trusted for longer."""
    lagging.life = new_life()
    since = lagging.stamp("something else")

    assert 0 <= since - (_header(lagging).grace_until - LAG) <= SECOND


def test_stamps_that_are_ahead_of_the_clock_keep_nothing_for_long(lagging: Shard) -> None:
    """On a server whose clock was set back, a lag lasts no longer than a lag."""
    lagging.redis.set(lagging.key("seq"), lagging.now() + 3600 * SECOND)
    lagging.stamp(UA.name)

    header = _header(lagging)

    assert header.grace_until == header.stored_at + LAG


def test_without_a_lag_all_of_it_is_kept(lagging: Shard) -> None:
    """A source that is never behind gives what is true as soon as the load begins."""
    lagging.stamp(UA.name)

    lagging.store()

    header = lagging.header()
    assert header is not None
    assert header.grace_until == header.stored_at + 600 * SECOND
