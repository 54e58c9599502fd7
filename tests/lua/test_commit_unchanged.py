"""commit.lua: what it makes of a result that is what was stored already."""

from __future__ import annotations

import pytest

from tests.lua.shard import SECOND, UA, Shard, new_life
from warmer.core.header import DIGESTED, UNCHANGED, Header
from warmer.testing import ValkeyServer


def _commit(shard: Shard, payload: bytes, flags: int = DIGESTED) -> Header:
    token, stamp = shard.lease(newer_than="inf")
    reply = shard.commit(UA, token, stamp, payload=payload, flags=flags)
    assert reply[0] == "stored"
    assert shard.blob() == reply[2] + payload
    header = Header.read(reply[2])
    assert header is not None
    return header


def test_a_result_that_was_stored_already_is_marked_unchanged(shard: Shard) -> None:
    """The same digest: the new header says so, and has the new times and stamp."""
    first = _commit(shard, b"crc.digest-1value")
    shard.advance(100 * SECOND)

    second = _commit(shard, b"crc.digest-1value")

    assert (first.flags, second.flags) == (DIGESTED, DIGESTED | UNCHANGED)
    assert second.stamp > first.stamp
    assert second.fresh_until - first.fresh_until >= 100 * SECOND


@pytest.mark.parametrize(("before_s", "after_s"), [(10, 300), (300, 10)])
def test_an_unchanged_result_is_kept_as_long_as_any(shard: Shard, before_s: int, after_s: int) -> None:
    """The server forgets it neither when the one before was to go, nor long after it is served no more."""
    for ttl_s in (before_s, after_s):
        shard.store(payload=b"crc.digest-1value", flags=DIGESTED, ttl_us=ttl_s * SECOND, grace_us=0)

    header = shard.header()
    assert header is not None
    assert header.flags & UNCHANGED
    lasts_ms = shard.redis.pttl(shard.key(f"e:{UA.member}"))
    assert after_s * 1000 - 9000 < lasts_ms <= after_s * 1000


def test_the_bytes_of_an_unchanged_result_are_not_written_again() -> None:
    """To the log of writes, and so to replicas, goes its new header, however large it is."""
    size = 100_000
    values = (b"crc.digest-1" + b"x" * size, b"crc.digest-1" + b"x" * size, b"crc.digest-2" + b"x" * size)
    with ValkeyServer(args={"appendonly": "yes", "appendfsync": "no"}) as server:
        shard, grown = Shard(server.url), list[int]()
        for payload in values:
            before = shard.redis.info("persistence")["aof_current_size"]
            _commit(shard, payload)
            grown.append(shard.redis.info("persistence")["aof_current_size"] - before)
        shard.close()

    assert grown[0] > size
    assert grown[1] < size / 10
    assert grown[2] > size


def test_an_equal_result_in_other_bytes_is_stored(shard: Shard) -> None:
    """Another compressor, another order of a set: unchanged, and what was loaded last is what is kept."""
    _commit(shard, b"crc.digest-1value")

    assert _commit(shard, b"CRC.digest-1VALUE").flags == DIGESTED | UNCHANGED


@pytest.mark.parametrize(
    ("before", "after"), [(DIGESTED, 0), (0, DIGESTED), (0, 0)], ids=["lost", "gained", "never"]
)
def test_what_has_no_digest_counts_as_changed(shard: Shard, before: int, after: int) -> None:
    """Where either has no digest, the same bytes in its place mean nothing."""
    _commit(shard, b"crc.digest-1value", before)

    assert _commit(shard, b"crc.digest-1value", after).flags == after


def test_another_digest_counts_as_changed(shard: Shard) -> None:
    """One that differs in its last byte only."""
    _commit(shard, b"crc.digest-1value")

    assert _commit(shard, b"crc.digest-2value").flags == DIGESTED


def test_a_result_of_an_earlier_life_is_nothing_to_compare_with(shard: Shard) -> None:
    """Over a restart, what is stored is not served, so nothing that depended on it was kept."""
    _commit(shard, b"crc.digest-1value")
    shard.life = new_life()

    assert _commit(shard, b"crc.digest-1value").flags == DIGESTED


def test_an_entry_of_an_earlier_layout_is_replaced(shard: Shard) -> None:
    """It is nothing to compare with, and yet there was something that may have been shown."""
    shard.store_earlier_layout(UA)
    token, stamp = shard.lease()

    kind, _, header, replaced = shard.commit(UA, token, stamp, payload=b"crc.digest-1value", flags=DIGESTED)

    read = Header.read(header)
    assert (kind, replaced) == ("stored", "replaced")
    assert read is not None
    assert read.flags == DIGESTED


def test_an_unchanged_result_can_change_again(shard: Shard) -> None:
    """The mark is of one commit; the next says anew."""
    for _ in range(2):
        _commit(shard, b"crc.digest-1value")

    assert _commit(shard, b"crc.digest-2value").flags == DIGESTED
