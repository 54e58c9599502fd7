"""The header of an entry: its layout, and what is not one."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any

import pytest

from warmer.core.header import (
    COMPRESSED,
    DIGESTED,
    FORMAT,
    HEADER_SIZE,
    INVALIDATED,
    KNOWN_FLAGS,
    MAX_COST_US,
    NAMED,
    NO_LIFE,
    OWNED,
    SEALED,
    SHORT,
    UNCHANGED,
    Header,
    cost_in,
    read_times,
)

NOW_US = 1_795_305_600_000_001.0
HEADER = Header(
    flags=COMPRESSED | INVALIDATED,
    life=b"lifelife",
    stamp=NOW_US,
    stored_at=NOW_US + 1,
    fresh_until=NOW_US + 2,
    grace_until=NOW_US + 3,
    due_at=NOW_US + 4,
    cost_us=123_450,
)


def test_a_header_is_40_bytes_and_reads_back_as_it_was() -> None:
    """What is packed is read back, where times are near to the microsecond."""
    blob = HEADER.pack()
    assert len(blob) == HEADER_SIZE == 40
    assert Header.read(blob) == HEADER
    assert cost_in(blob) == HEADER.cost_us


def test_each_field_is_where_the_layout_says() -> None:
    """The offsets that Lua reads and writes are fixed."""
    blob = HEADER.pack()
    assert blob[0] == FORMAT == 0xC1
    assert blob[1] == COMPRESSED | INVALIDATED | SHORT
    assert struct.unpack_from("<H", blob, 2) == (round(math.log2(123_451) * 2048),)
    assert blob[4:12] == b"lifelife"
    assert [struct.unpack_from("<d", blob, at)[0] - NOW_US for at in (12, 20)] == [0, 1]
    assert [struct.unpack_from("<f", blob, at)[0] for at in (28, 32, 36)] == [1, 2, 3]


@pytest.mark.parametrize("lasts_us", [1, 16_777_217, 300_000_001, 3_600_000_001, 365 * 86_400_000_001])
def test_a_bound_is_cut_down_and_never_up(lasts_us: int) -> None:
    """By less than a ten-millionth of it: nothing is served for longer than was said, nor for much less."""
    for stored_at in (NOW_US, NOW_US + 0.75):
        until = stored_at + lasts_us
        read = Header.read(replace(HEADER, stored_at=stored_at, fresh_until=until, due_at=until).pack())
        assert read is not None
        assert 0 <= until - read.fresh_until <= lasts_us / 2**23
        assert read.due_at == read.fresh_until


def test_a_bound_before_it_was_stored_is_cut_down_too() -> None:
    """The clock was set back before an invalidation said until when the value may be kept."""
    read = Header.read(replace(HEADER, grace_until=HEADER.stored_at - 33_554_435).pack())
    assert read is not None
    assert read.grace_until == HEADER.stored_at - 33_554_436


def test_a_bound_of_never_has_always_passed() -> None:
    """What only its own readers get, or what was invalidated, is fresh at no age, and reads back as 0."""
    blob = replace(HEADER, fresh_until=0.0, due_at=0.0).pack()
    times, read = read_times(blob), Header.read(blob)
    assert times is not None
    assert times[4] == times[6] == -math.inf
    assert read is not None
    assert (read.fresh_until, read.due_at) == (0.0, 0.0)


def test_the_times_are_read_in_place_before_any_payload() -> None:
    """The hot path's reader gives the fields without the checks' bytes, whatever follows the header."""
    blob = HEADER.pack() + b"payload"
    assert read_times(blob) == HEADER.times()
    assert read_times(memoryview(blob)) == HEADER.times()
    assert read_times(bytearray(blob)) == HEADER.times()


def test_a_header_costs_nothing_unless_said() -> None:
    """What is not loaded has no cost."""
    header = Header(0, NO_LIFE, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert header.cost_us == 0
    assert Header.read(header.pack()) == header


def test_a_blob_shorter_than_a_header_is_not_an_entry() -> None:
    """A cut blob is None at every length, never an error."""
    for size in range(HEADER_SIZE):
        blob = HEADER.pack()[:size]
        assert read_times(blob) is None
        assert Header.read(blob) is None


def test_a_blob_of_another_format_is_not_an_entry() -> None:
    """Only the one format byte is ours."""
    for first in range(256):
        blob = bytes([first]) + HEADER.pack()[1:]
        assert (read_times(blob) is None) == (Header.read(blob) is None) == (first != FORMAT)


def test_flags_of_another_version_are_not_read() -> None:
    """What has an earlier layout is a miss, not a guess; of this one, every flag has its meaning."""
    assert KNOWN_FLAGS == COMPRESSED | SEALED | INVALIDATED | UNCHANGED | DIGESTED | NAMED | OWNED == 127
    for flags in range(256):
        blob = bytes([FORMAT, flags]) + HEADER.pack()[2:]
        assert (read_times(blob) is None) == (flags < SHORT)


@pytest.mark.parametrize(("at", "kind"), [(12, "<d"), (20, "<d"), (28, "<f"), (32, "<f"), (36, "<f")])
def test_a_time_that_is_not_a_number_is_not_an_entry(at: int, kind: str) -> None:
    """A NaN in any time makes the whole header unreadable."""
    blob = bytearray(HEADER.pack())
    struct.pack_into(kind, blob, at, float("nan"))
    assert Header.read(blob) is None


def test_a_due_time_may_be_infinite() -> None:
    """An entry that is not kept warm is never due."""
    header = replace(HEADER, due_at=float("inf"))
    assert Header.read(header.pack()) == header


@pytest.mark.parametrize("cost_us", [0, 1, 2, 999, 2000, 123_456, 30_000_000, MAX_COST_US, 10**12])
def test_a_cost_is_kept_to_a_sixth_of_a_thousandth(cost_us: int) -> None:
    """Short ones exactly; a load of over 71 minutes counts as one of 71 minutes."""
    read = Header.read(replace(HEADER, cost_us=cost_us).pack())
    assert read is not None
    assert read.cost_us == pytest.approx(min(cost_us, MAX_COST_US), rel=0.0004, abs=0.1)


@pytest.mark.parametrize("wrong", [{"life": b"short"}, {"flags": -1}, {"flags": KNOWN_FLAGS + 1}])
def test_a_field_that_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    """Nothing is cut or padded in silence where it would name another life."""
    with pytest.raises(ValueError):
        replace(HEADER, **wrong)


def test_a_negative_cost_is_refused() -> None:
    """A clock that went backwards is the caller's to clamp."""
    with pytest.raises(ValueError):
        replace(HEADER, cost_us=-1).pack()
