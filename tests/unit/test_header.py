"""The header of an entry: its layout, and what is not one."""

from __future__ import annotations

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
    PUBLIC_OWNER,
    SEALED,
    UNCHANGED,
    Header,
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
    cost_us=123_456,
    owner=b"owner-42",
)


def test_a_header_is_64_bytes_and_reads_back_as_it_was() -> None:
    """What is packed is read back, to the microsecond."""
    blob = HEADER.pack()
    assert len(blob) == HEADER_SIZE == 64
    assert Header.read(blob) == HEADER


def test_each_field_is_where_the_layout_says() -> None:
    """The offsets that Lua reads and writes are fixed."""
    blob = HEADER.pack()
    assert blob[0] == FORMAT == 0xC1
    assert blob[1] == COMPRESSED | INVALIDATED
    assert blob[2:4] == b"\0\0"
    assert blob[4:12] == b"lifelife"
    times = [struct.unpack_from("<d", blob, at)[0] - NOW_US for at in (12, 20, 28, 36, 44)]
    assert times == [0, 1, 2, 3, 4]
    assert struct.unpack_from("<I", blob, 52) == (123_456,)
    assert blob[56:64] == b"owner-42"


def test_the_times_are_read_in_place_before_any_payload() -> None:
    """The hot path's reader gives the fields without the checks' bytes, whatever follows the header."""
    blob = HEADER.pack() + b"payload"
    assert read_times(blob) == HEADER.times()
    assert read_times(memoryview(blob)) == HEADER.times()
    assert read_times(bytearray(blob)) == HEADER.times()


def test_a_header_is_public_and_costs_nothing_unless_said() -> None:
    """The owner of a public entry is eight zero bytes."""
    header = Header(0, NO_LIFE, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert (header.cost_us, header.owner) == (0, PUBLIC_OWNER)
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


def test_flags_of_a_later_version_are_not_read() -> None:
    """An entry that says more than this version understands is a miss, not a guess."""
    assert KNOWN_FLAGS == COMPRESSED | SEALED | INVALIDATED | UNCHANGED | DIGESTED | NAMED == 63
    for flags in range(256):
        blob = bytes([FORMAT, flags]) + HEADER.pack()[2:]
        assert (read_times(blob) is None) == (flags > KNOWN_FLAGS)


def test_reserved_bytes_are_ignored() -> None:
    """A later version may use them without losing this version's readers."""
    blob = bytearray(HEADER.pack())
    blob[2:4] = b"\xff\xff"
    assert Header.read(blob) == HEADER


@pytest.mark.parametrize("at", [12, 20, 28, 36, 44])
def test_a_time_that_is_not_a_number_is_not_an_entry(at: int) -> None:
    """A NaN in any time makes the whole header unreadable."""
    blob = bytearray(HEADER.pack())
    struct.pack_into("<d", blob, at, float("nan"))
    assert Header.read(blob) is None


def test_a_due_time_may_be_infinite() -> None:
    """An entry that is not kept warm is never due."""
    header = replace(HEADER, due_at=float("inf"))
    assert Header.read(header.pack()) == header


def test_a_cost_beyond_four_bytes_is_cut() -> None:
    """A load of over 71 minutes counts as one of 71 minutes."""
    read = Header.read(replace(HEADER, cost_us=MAX_COST_US + 1).pack())
    assert read is not None
    assert read.cost_us == MAX_COST_US


@pytest.mark.parametrize(
    "wrong", [{"life": b"short"}, {"owner": b"ninebytes"}, {"flags": -1}, {"flags": KNOWN_FLAGS + 1}]
)
def test_a_field_that_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    """Nothing is cut or padded in silence where it would name another life or owner."""
    with pytest.raises(ValueError):
        replace(HEADER, **wrong)


def test_a_negative_cost_is_refused() -> None:
    """A clock that went backwards is the caller's to clamp."""
    with pytest.raises(ValueError):
        replace(HEADER, cost_us=-1).pack()
