"""invalidate.lua and remove.lua: what an invalidation takes, and what it leaves."""

from __future__ import annotations

import pytest

from tests.lua.shard import SECOND, UA, Shard, Subject
from warmer.core.header import INVALIDATED

AA = Subject("AA")
OLD = Subject("UA", version="old")


def test_an_invalidated_entry_is_gone(shard: Shard) -> None:
    """The value is removed and counted, and the fence has the entry's name."""
    stored = shard.store()

    kind, _, removed, stamp = shard.invalidate()

    assert (kind, removed) == ("removed", 1)
    assert stamp > stored
    assert shard.blob() is None
    assert shard.redis.zscore(shard.key("fence"), UA.name) == stamp


def test_invalidating_what_is_not_there_removes_nothing(shard: Shard) -> None:
    """It is counted as none, and still stamps the fence: a load may be under way."""
    token, stamp = shard.lease()

    assert shard.invalidate()[2] == 0
    assert shard.commit(UA, token, stamp)[0] == "refused"


def test_invalidating_twice_does_no_harm(shard: Shard) -> None:
    """A call whose reply was lost is repeated: the second finds nothing."""
    shard.store()
    shard.invalidate()

    assert shard.invalidate()[2] == 0


def test_old_and_new_versions_invalidate_each_other(shard: Shard) -> None:
    """An entry goes in every version of its query, and loads of all versions are refused."""
    shard.store(OLD)
    shard.store(UA)
    token, stamp = shard.lease(OLD, newer_than="inf")

    assert shard.invalidate(UA)[2] == 2
    assert shard.blob(OLD) is None
    assert shard.commit(OLD, token, stamp)[0] == "refused"


def test_other_entries_stay(shard: Shard) -> None:
    """Only the entry that is named goes."""
    shard.store(UA)
    shard.store(AA)

    shard.invalidate(UA)

    assert shard.blob(AA) is not None


def test_a_kept_entry_is_due_again_at_once(shard: Shard) -> None:
    """What is kept warm is loaded again by a worker, without waiting for a reader."""
    shard.store(keep="always")

    shard.invalidate()

    assert shard.claimed() == [UA.member]


def test_an_entry_that_nobody_keeps_is_forgotten(shard: Shard) -> None:
    """Without anybody to keep it warm, an invalidated entry leaves the index as well."""
    shard.store(keep="never")

    shard.invalidate()

    assert shard.due() is None
    assert shard.claimed() == []


def test_a_message_on_its_way_will_do(shard: Shard) -> None:
    """An entry that is claimed and not yet being loaded is loaded after the invalidation anyway: no
    second claim.
    """
    shard.store(keep="always")
    shard.advance(300 * SECOND)
    assert shard.claimed() == [UA.member]

    shard.invalidate()

    assert shard.claimed() == []


def test_a_message_whose_load_has_begun_will_not_do(shard: Shard) -> None:
    """A claimed entry whose load began before the invalidation is due again."""
    shard.store(keep="always")
    shard.advance(300 * SECOND)
    assert shard.claimed() == [UA.member]
    token, stamp = shard.lease(newer_than="inf")

    shard.invalidate()

    assert shard.claimed() == [UA.member]
    assert shard.commit(UA, token, stamp, keep="always")[0] == "refused"


def test_a_failure_before_the_invalidation_is_forgotten(shard: Shard) -> None:
    """The next failure after an invalidation is a first one again."""
    token, _ = shard.lease()
    shard.fail(UA, token)

    shard.invalidate()

    assert shard.hash("failures") is None


def test_remove_takes_only_what_was_loaded_before_the_stamp(shard: Shard) -> None:
    """A value that was loaded anew after the invalidation's stamp stays."""
    shard.store(UA)
    shard.store(AA)
    stamp = shard.stamp("g:month")
    shard.store(AA)

    assert shard.remove(stamp, UA, AA, name="g:month")[2] == 1
    assert shard.blob(UA) is None
    assert shard.blob(AA) is not None


def test_remove_shortens_the_list_by_what_is_gone(shard: Shard) -> None:
    """A newer value stays under its name, so that the next invalidation finds it."""
    shard.store(UA)
    shard.store(AA)
    stamp = shard.stamp("g:month")
    shard.store(AA)

    shard.remove(stamp, UA, AA, name="g:month")

    assert shard.redis.smembers(shard.key("members:g:month")) == {AA.member.encode()}


def test_remove_ends_the_leases_of_loads_before_the_stamp(shard: Shard) -> None:
    """A load under way that the invalidation hit stands aside; one that began later goes on."""
    before, _ = shard.lease(UA)
    stamp = shard.stamp("g:month")
    after, after_stamp = shard.lease(AA)

    shard.remove(stamp, UA, AA)

    assert shard.extend((UA, before), (AA, after)) == ["doomed", "held"]
    assert shard.commit(AA, after, after_stamp)[0] == "stored"


def test_repeating_remove_takes_nothing_more(shard: Shard) -> None:
    """Its second call finds nothing older than the stamp."""
    shard.store()
    stamp = shard.stamp("g:month")
    shard.remove(stamp, UA, name="g:month")
    shard.store()

    assert shard.remove(stamp, UA, name="g:month")[2] == 0
    assert shard.blob() is not None


def test_stale_after_write_keeps_the_value_marked(shard: Shard) -> None:
    """The value stays as a stale one for the seconds that the query allows, and is counted as removed."""
    shard.store(flags=1)

    _, now, removed, _ = shard.invalidate(stale_us=5 * SECOND)

    header = shard.header()
    assert header is not None
    assert removed == 1
    assert header.flags == 1 | INVALIDATED
    assert (header.fresh_until, header.grace_until, header.due_at) == (0, now + 5 * SECOND, 0)
    assert 4_000 < shard.redis.pttl(shard.key(f"e:{UA.member}")) <= 5_001


@pytest.mark.parametrize("stale_us", [0, 5 * SECOND])
def test_an_entry_of_an_earlier_layout_is_removed(shard: Shard, stale_us: int) -> None:
    """Processes of an earlier release would still serve it, and can't be told that it is stale."""
    shard.store_earlier_layout(UA)

    assert shard.invalidate(stale_us=stale_us)[2] == 1
    assert shard.blob() is None


def test_an_entry_of_an_earlier_layout_that_is_newer_stays(shard: Shard) -> None:
    """Its stamp is where an entry's stamp is now."""
    stamp = shard.stamp("g:month")
    shard.store_earlier_layout(UA)

    assert shard.remove(stamp, UA)[2] == 0
    assert shard.blob() is not None


def test_stale_after_write_never_lengthens_the_grace(shard: Shard) -> None:
    """A value is not served for longer than it would have been without the invalidation."""
    shard.store(ttl_us=SECOND, grace_us=SECOND)
    before = shard.header()

    shard.invalidate(stale_us=60 * SECOND)

    after = shard.header()
    assert before is not None
    assert after is not None
    assert after.grace_until == before.grace_until


def test_the_first_invalidation_sets_the_time(shard: Shard) -> None:
    """Invalidating again and again does not keep an old value for ever."""
    shard.store()
    shard.invalidate(stale_us=5 * SECOND)
    first = shard.header()
    shard.advance(3 * SECOND)

    assert shard.invalidate(stale_us=5 * SECOND)[2] == 0
    assert shard.header() == first


def test_forgetting_takes_what_stale_after_write_kept(shard: Shard) -> None:
    """An invalidation without stale time removes a marked value, too."""
    shard.store()
    shard.invalidate(stale_us=60 * SECOND)

    assert shard.invalidate()[2] == 1
    assert shard.blob() is None


def test_a_value_that_can_be_served_no_more_is_not_kept(shard: Shard) -> None:
    """Past its grace there is nothing to serve, so the value goes."""
    shard.store(ttl_us=SECOND, grace_us=SECOND)
    shard.advance(2 * SECOND)

    shard.invalidate(stale_us=60 * SECOND)

    assert shard.blob() is None


@pytest.mark.parametrize("blob", [b"", b"\xc1", b"\xc1" * 63, b"x" * 200])
def test_foreign_bytes_under_a_key_are_no_obstacle(shard: Shard, blob: bytes) -> None:
    """What is no entry is never served, and does not keep an invalidation from its work."""
    shard.redis.set(shard.key(f"e:{UA.member}"), blob)

    assert shard.invalidate()[0] == "removed"
