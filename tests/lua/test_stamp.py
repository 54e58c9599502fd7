"""stamp.lua and what every script opens with: stamps, the fence and its floor, the server's life."""

from __future__ import annotations

import pytest
import redis

from tests.lua.shard import SECOND, UA, Shard, new_life


def test_stamps_only_grow(shard: Shard) -> None:
    """Every operation that gives a stamp gives a later one than all before it."""
    stamps = []
    for _ in range(50):
        stamps.append(shard.stamp("g:a"))
        stamps.append(shard.lease(newer_than="inf", token="same")[1] if len(stamps) == 1 else shard.stamp())
        stamps.append(shard.invalidate()[3])

    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("back_s", [1, 3600, 10 * 365 * 86400])
def test_stamps_grow_when_the_clock_goes_back(shard: Shard, back_s: int) -> None:
    """A server whose clock is set back goes on from its last stamp."""
    before = shard.stamp("g:a")
    shard.advance(-back_s * SECOND)

    after = [shard.stamp("g:a") for _ in range(3)]

    assert after == [before + 1, before + 2, before + 3]


def test_stamps_keep_all_their_digits(shard: Shard) -> None:
    """Stamps are whole microseconds, sixteen digits of them, in the sequence as in the fence."""
    stamp = shard.stamp("g:a")

    assert len(str(stamp)) == 16
    assert int(shard.redis.get(shard.key("seq")) or 0) == stamp
    assert shard.redis.zscore(shard.key("fence"), "g:a") == stamp
    assert shard.stamp("g:b") > stamp


def test_a_lost_sequence_begins_again_at_the_clock(shard: Shard) -> None:
    """A server that came up empty gives stamps of its clock, later than those of its earlier life."""
    before = shard.stamp("g:a")
    shard.redis.flushdb()

    assert shard.stamp("g:a") > before


def test_one_stamp_for_all_names_of_a_call(shard: Shard) -> None:
    """The names of one invalidation share its stamp, and later calls raise it."""
    first = shard.stamp("g:a", "g:b")
    second = shard.stamp("g:b")

    scores = {name: shard.redis.zscore(shard.key("fence"), name) for name in ("g:a", "g:b")}
    assert scores == {"g:a": first, "g:b": second}


def test_a_full_fence_lets_its_oldest_go_and_raises_the_floor(shard: Shard) -> None:
    """Past the most names, the oldest stamp becomes the floor, and no stamp is lost for a lease below it."""
    stamps = [shard.stamp(name, most=2) for name in ("g:a", "g:b", "g:c")]

    assert shard.redis.zrange(shard.key("fence"), 0, -1) == [b"g:b", b"g:c"]
    assert int(shard.redis.get(shard.key("floor")) or 0) == stamps[0]


def test_an_old_stamp_is_let_go_the_same_way(shard: Shard) -> None:
    """Past the fence's age a name goes, and the floor takes its place."""
    first = shard.stamp("g:a", age_us=60 * SECOND)
    shard.advance(61 * SECOND)

    shard.stamp("g:b", age_us=60 * SECOND)

    assert shard.redis.zrange(shard.key("fence"), 0, -1) == [b"g:b"]
    assert int(shard.redis.get(shard.key("floor")) or 0) == first


def test_a_lease_below_the_floor_is_refused(shard: Shard) -> None:
    """A load that began before what the fence has let go can't be stored, whatever its names."""
    token, stamp = shard.lease()
    for name in ("g:a", "g:b"):
        shard.stamp(name, most=1)

    assert shard.commit(UA, token, stamp)[0] == "refused"


def test_a_lease_above_the_floor_is_not(shard: Shard) -> None:
    """The floor refuses nothing that began after it."""
    for name in ("g:a", "g:b"):
        shard.stamp(name, most=1)
    token, stamp = shard.lease()

    assert shard.commit(UA, token, stamp)[0] == "stored"


def test_the_stamp_at_hand_is_never_let_go(shard: Shard) -> None:
    """However few names the fence may hold, those of the call stay until the next."""
    shard.stamp("g:a", "g:b", "g:c", most=1)

    assert shard.redis.zcard(shard.key("fence")) == 3


def test_invalidating_single_entries_keeps_the_fence_in_bounds(shard: Shard) -> None:
    """Entries that are invalidated one by one do not make the fence grow past its most names."""
    for number in range(20):
        shard.run("invalidate", f"e:q:{number}", "q", f":{number}", 0, "v", 5, 86_400 * SECOND)

    assert shard.redis.zcard(shard.key("fence")) <= 6
    assert int(shard.redis.get(shard.key("floor")) or 0) > 0


def test_a_new_life_voids_the_leases_before_it(shard: Shard) -> None:
    """After a restart a load of the earlier life is not waited for, and can't be stored."""
    token, stamp = shard.lease()
    shard.life = new_life()

    assert shard.acquire()[0] == "granted"
    assert shard.commit(UA, token, stamp)[0] == "lost"


def test_a_new_life_does_not_answer_with_what_was_stored_before(shard: Shard) -> None:
    """A value of an earlier life is no reason not to load."""
    shard.store()
    shard.life = new_life()

    assert shard.acquire()[0] == "granted"


def test_nothing_is_handed_over_from_one_life_to_the_next(shard: Shard) -> None:
    """A value that was refused before a restart is handed to nobody after it."""
    token, stamp = shard.lease()
    shard.acquire()
    shard.stamp(UA.name)
    shard.commit(UA, token, stamp)
    shard.life = new_life()

    assert shard.acquire(arrived=stamp - 1)[0] == "granted"


def test_a_caller_of_a_superseded_life_is_turned_away(shard: Shard) -> None:
    """A connection that knows an earlier life learns so, and nothing is written."""
    old = shard.life
    shard.store()
    shard.life = new_life()
    shard.stamp("g:a")
    before = shard.redis.get(shard.key("seq"))

    with pytest.raises(redis.exceptions.ResponseError, match="WARMERLIFE"):
        shard.run("acquire", UA.member, "t", 1, 1, 0, "inf", 0, 0, 1, *UA.names, life=old)

    assert shard.redis.get(shard.key("seq")) == before


def test_a_life_is_recorded_once(shard: Shard) -> None:
    """The first script of a life records it with its stamp; the next ones leave that alone."""
    shard.stamp("g:a")
    record = shard.redis.hgetall(shard.key("life"))
    shard.stamp("g:a")

    assert shard.redis.hgetall(shard.key("life")) == record
    assert record[b"current"] == shard.life
