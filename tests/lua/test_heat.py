"""How much entries are read: many records in one bucket, and buckets that are split as records come."""

from __future__ import annotations

import pytest

from tests.lua.shard import SECOND, Shard, Subject
from warmer.core.heat import bucket_of, digest_of, heat_in

ENTRIES = 1500
SUBJECTS = [Subject(f"{number}") for number in range(ENTRIES)]


def _tally(shard: Shard, subjects: list[Subject], reads: int = 1) -> None:
    for first in range(0, len(subjects), 100):
        shard.tally(*((subject, reads) for subject in subjects[first : first + 100]))


def test_every_entry_has_a_record_of_its_own(shard: Shard) -> None:
    """However many there are, and whichever buckets were split meanwhile."""
    numbered = list(zip(SUBJECTS, range(1, ENTRIES + 1), strict=True))
    for first in range(0, ENTRIES, 100):
        shard.tally(*numbered[first : first + 100])

    found = [shard.heat(subject) for subject in SUBJECTS]

    rates = [heat.reads_per_second for heat in found if heat]
    assert rates == pytest.approx([reads / 8 for _, reads in numbered], rel=0.01)


def test_records_are_small(shard: Shard) -> None:
    """About fifteen bytes an entry, not the hundred of a field of its own."""
    _tally(shard, SUBJECTS)

    assert int(shard.redis.hget(shard.key("tallies"), "n") or 0) > ENTRIES / 128
    assert (shard.redis.memory_usage(shard.key("tallies"), samples=0) or 0) / ENTRIES < 20


def test_a_record_says_when_and_how_much_an_entry_was_read(shard: Shard) -> None:
    """To the tick of a thirtieth of a second, and a hundredth of the rate and of idle_after, never above."""
    subject = SUBJECTS[0]
    shard.tally((subject, 80), span_us=2 * SECOND, idle_us=3600 * SECOND)
    began = shard.now()
    shard.advance(600 * SECOND)

    heat = shard.heat(subject)

    assert heat is not None
    assert not heat.admitted
    assert heat.last_read_us == pytest.approx(began, abs=SECOND / 2)
    assert heat.reads_per_second == pytest.approx(10, rel=0.01)
    assert 0.99 * 3600 * SECOND < heat.idle_us <= 3600 * SECOND


def test_the_time_of_admission_stands_however_often_it_is_read(shard: Shard) -> None:
    """Reads before it move the last read, and not the time after which one admits."""
    subject = SUBJECTS[0]
    for _ in range(19):
        shard.tally((subject, 1), ttl_us=10 * SECOND, idle_us=20 * SECOND)
        shard.advance(SECOND // 2)
        heat = shard.heat(subject)
        assert heat is not None
        assert not heat.admitted
        assert heat.last_read_us == pytest.approx(shard.now() - SECOND // 2, abs=SECOND / 4)
    shard.advance(3 * SECOND)

    shard.tally((subject, 1), ttl_us=10 * SECOND, idle_us=20 * SECOND)

    heat = shard.heat(subject)
    assert heat is not None
    assert heat.admitted
    assert heat.last_read_us == pytest.approx(shard.now(), abs=SECOND / 4)


def test_a_rate_fades_from_the_last_read_on(shard: Shard) -> None:
    """Also of what has not been admitted: after four reports without a word nothing is left of it."""
    subject = SUBJECTS[0]
    shard.tally((subject, 80), span_us=2 * SECOND, ttl_us=600 * SECOND, idle_us=3600 * SECOND)
    shard.advance(9 * SECOND)

    shard.tally((subject, 8), span_us=2 * SECOND, ttl_us=600 * SECOND, idle_us=3600 * SECOND)

    heat = shard.heat(subject)
    assert heat is not None
    assert heat.reads_per_second == pytest.approx(1, rel=0.01)


def test_what_is_kept_for_good_is_not_taken_for_admitted(shard: Shard) -> None:
    """Its reads are counted past the time at which another would be admitted."""
    subject = SUBJECTS[0]
    for _ in range(3):
        shard.tally((subject, 1), ttl_us=SECOND, keep="always")
        shard.advance(SECOND)

    heat = shard.heat(subject)

    assert heat is not None
    assert (heat.admitted, heat.idle_us) == (False, 0)
    assert heat.last_read_us == pytest.approx(shard.now() - SECOND, abs=SECOND / 4)


def test_what_went_cold_is_forgotten_as_others_are_told(shard: Shard) -> None:
    """Without a scheduler, too: every report looks at a few buckets."""
    _tally(shard, SUBJECTS)
    shard.advance(3600 * SECOND)

    for _ in range(40):
        _tally(shard, SUBJECTS[:200])

    left = [subject for subject in SUBJECTS if shard.heat(subject)]
    assert left[:200] == SUBJECTS[:200]
    assert len(left) < ENTRIES / 2


def test_a_clock_that_was_set_back_forgets_nothing(shard: Shard) -> None:
    """What was read at a time that is yet to come counts as read now."""
    _tally(shard, SUBJECTS[:50])
    shard.advance(-3600 * SECOND)
    _tally(shard, SUBJECTS[50:60])

    assert all(shard.heat(subject) for subject in SUBJECTS[:60])


def test_buckets_are_numbered_without_a_gap() -> None:
    """Each record is where it was, or in the bucket that was added: that is all that a split moves."""
    members = [subject.member for subject in SUBJECTS]
    for buckets in range(1, 70):
        before, after = ([bucket_of(member, count) for member in members] for count in (buckets, buckets + 1))
        assert set(before) <= set(range(buckets))
        assert all(new in (old, buckets) for old, new in zip(before, after, strict=True))


def test_a_digest_in_the_midst_of_others_is_not_found() -> None:
    """A record is one that begins where records begin."""
    digest = digest_of("q@v:1")
    records = b"\0\0\0" + digest + bytes(6) + bytes(14)

    assert heat_in(records, "q@v:1", 1.7e15) is None
