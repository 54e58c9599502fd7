"""A corrupt, cut or foreign blob is a miss: never an exception of another kind, never a wrong value."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zlib import crc32

import msgspec
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.property.value_types import KINDS, Kind, annotated_values, same
from warmer.core.header import COMPRESSED, FORMAT, HEADER_SIZE, SHORT, Header, read_times
from warmer.core.values import Codec
from warmer.errors import CorruptEntry, ResultNotStorable


@dataclass
class Delay:
    carrier: str
    mean: Decimal
    day: date
    at: datetime | None
    tags: set[str]
    more: list[Delay]


ROWS = [
    Delay("UA", Decimal(n), date(2013, 1, 1), datetime(2013, 1, 1, n), {"a", str(n)}, []) for n in range(5)
]
PLAIN, SQUEEZED = Codec(list[Delay], "q", 10**9), Codec(list[Delay], "q", 0)
TIMES = (1.0, 2.0, 3.0, 4.0, 5.0)


def _blob(codec: Codec, value: Any) -> bytes:
    flags, payload = codec.encode(value)
    return Header(flags, b"lifelife", *TIMES).pack() + payload


def _read(codec: Codec, blob: bytes) -> Any:
    """As a reader does it: CorruptEntry for whatever is not an entry."""
    header, times = Header.read(blob), read_times(blob)
    if times is None or header is None:
        raise CorruptEntry("no header")
    assert header.flags == times[0] ^ SHORT
    return codec.decode(times[0], memoryview(blob)[HEADER_SIZE:])


def _with_checksum(raw: bytes) -> bytes:
    return struct.pack("<I", crc32(raw)) + raw


@st.composite
def mutations(draw: st.DrawFn, size: int) -> list[tuple[int, int, bytes]]:
    """Cuts, insertions and replacements: (from, to, what goes there instead)."""
    places = st.tuples(st.integers(0, size), st.integers(0, 8), st.binary(max_size=8))
    return [
        (at, at + length, instead) for at, length, instead in draw(st.lists(places, min_size=1, max_size=4))
    ]


def _mutated(blob: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for start, end, instead in changes:
        blob = blob[:start] + instead + blob[end:]
    return blob


@pytest.mark.parametrize("codec", [PLAIN, SQUEEZED], ids=["plain", "compressed"])
@settings(max_examples=200)
@given(data=st.data())
def test_a_changed_blob_is_a_miss_or_the_same_value(codec: Codec, data: st.DataObject) -> None:
    """Only changes that stay within the header's times leave an entry; its value is untouched then."""
    blob = _blob(codec, ROWS)
    changed = _mutated(blob, data.draw(mutations(len(blob))))
    try:
        back = _read(codec, changed)
    except CorruptEntry:
        return
    assert changed[HEADER_SIZE:] == blob[HEADER_SIZE:]
    assert back == ROWS


@settings(max_examples=200)
@given(data=st.data())
def test_changed_messagepack_under_a_fitting_checksum_is_a_miss_or_a_whole_value(data: st.DataObject) -> None:
    """As if a foreign program had written it: what decodes is of the annotated type all the way down."""
    raw = bytes(PLAIN.encode(ROWS)[1][4:])
    changed = _mutated(raw, data.draw(mutations(len(raw))))
    try:
        back = PLAIN.decode(0, _with_checksum(changed))
    except CorruptEntry:
        return
    again = PLAIN.decode(*PLAIN.encode(back))
    assert same(back, again)


@settings(max_examples=100)
@given(data=st.data())
def test_a_changed_frame_under_a_fitting_checksum_is_a_miss_or_a_value(data: st.DataObject) -> None:
    """A frame that was tampered with decompresses to something, or not; nothing else is raised."""
    frame = bytes(SQUEEZED.encode(ROWS)[1][4:])
    changed = _mutated(frame, data.draw(mutations(len(frame))))
    try:
        SQUEEZED.decode(COMPRESSED, _with_checksum(changed))
    except CorruptEntry:
        return


@settings(max_examples=100)
@given(st.integers(0, 255), st.binary(max_size=200), st.booleans(), KINDS)
def test_random_bytes_are_a_miss(flags: int, noise: bytes, checked: bool, kind: Kind) -> None:
    """Whatever the flags, the type and the bytes; with a checksum that fits, too."""
    codec = Codec(kind.annotation, "q")
    payload = _with_checksum(noise) if checked else noise
    try:
        codec.decode(flags, payload)
    except CorruptEntry:
        pass
    else:
        assert checked


@settings(max_examples=100)
@given(st.binary(max_size=300))
@example(b"")
@example(bytes([FORMAT]) * 300)
def test_random_blobs_are_no_entries(noise: bytes) -> None:
    """A key that holds something else, however it begins, reads as no entry."""
    for blob in (noise, bytes([FORMAT]) + noise):
        with pytest.raises(CorruptEntry):
            _read(PLAIN, blob)


@settings(max_examples=100)
@given(annotated_values(), KINDS)
def test_another_types_entry_is_a_miss_or_a_value_of_this_type(case: tuple[Any, Any], wanted: Kind) -> None:
    """A version that was set by hand and not changed: old payloads under a new type end without harm."""
    annotation, value = case
    codec = Codec(wanted.annotation, "q")
    try:
        back = codec.decode(*Codec(annotation, "q").encode(value))
    except CorruptEntry:
        return
    try:
        codec.encode(back)
    except ResultNotStorable as refused:
        pytest.fail(f"decoded to what is not of its type: {refused}")


@settings(max_examples=200)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.text(max_size=5)
        | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    KINDS,
)
def test_foreign_messagepack_is_a_miss_or_a_value_of_this_type(foreign: Any, wanted: Kind) -> None:
    """Another program's perfectly good MessagePack is not taken for ours by half."""
    codec = Codec(wanted.annotation, "q")
    raw = msgspec.msgpack.encode(foreign)
    for flags, body in ((0, raw), (COMPRESSED, zstandard.ZstdCompressor().compress(raw))):
        try:
            back = codec.decode(flags, _with_checksum(body))
        except CorruptEntry:
            continue
        codec.encode(back)
