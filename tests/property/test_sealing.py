"""Seals of any values, keys and owners: they open where they belong, as they were, and in no other way."""

from __future__ import annotations

import struct
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from warmer.core.header import DIGESTED, NAMED
from warmer.core.payload import CHECKSUM_SIZE, front_of, pack, unpack
from warmer.errors import CorruptEntry
from warmer.sealing import Sealer

LIMIT = 1 << 20
Place = tuple[bytes, bytes, bytes]  # a key of the setting, an entry's key, an owner
masters = st.binary(min_size=32, max_size=32)
owners = st.binary(min_size=8, max_size=8)
places = st.tuples(masters, st.binary(max_size=60), owners)
names = st.lists(st.text(max_size=10), max_size=3, unique=True)


def _pack(raw: bytes, place: Place, over: int, found: list[str]) -> tuple[int, bytes]:
    master, key, owner = place
    seal = Sealer([master]).of_entry(key, owner)
    return pack(raw, over, seal.digest(raw), found, seal)


def _unpack(flags: int, payload: bytes, place: Place) -> bytes:
    master, key, owner = place
    return bytes(unpack(flags, payload, LIMIT, seal=Sealer([master]).of_entry(key, owner)))


@given(st.binary(max_size=300), places, places, st.sampled_from([0, LIMIT]), names)
def test_a_seal_opens_where_it_belongs_and_nowhere_else(
    raw: bytes,
    here: Place,
    there: Place,
    over: int,
    found: list[str],
) -> None:
    """Under the same key of the setting, for the same entry and owner, the value is back; else nothing is."""
    flags, payload = _pack(raw, here, over, found)

    assert _unpack(flags, payload, here) == raw
    for other in {there, (here[0], *there[1:]), (here[0], here[1], there[2]), (here[0], there[1], here[2])}:
        if other != here:
            try:
                got: bytes | None = _unpack(flags, payload, other)
            except CorruptEntry:
                got = None
            assert got is None


@given(st.binary(max_size=100), places, names, st.data())
def test_no_change_of_a_sealed_payload_gets_through(
    raw: bytes, place: Place, found: list[str], data: st.DataObject
) -> None:
    """Bytes changed, cut out or put in, with a checksum that fits: CorruptEntry, and nothing else."""
    flags, payload = _pack(raw, place, LIMIT, found)
    at = data.draw(st.integers(CHECKSUM_SIZE, len(payload) - 1))
    upto = data.draw(st.integers(at, min(len(payload), at + 4)))
    changed = payload[CHECKSUM_SIZE:at] + data.draw(st.binary(max_size=4)) + payload[upto:]
    if changed == payload[CHECKSUM_SIZE:]:
        return

    try:
        got: bytes | None = _unpack(flags, _summed(flags, changed), place)
    except CorruptEntry:
        got = None

    assert got is None
    assert front_of(flags, bytes(64) + payload), "what stands before the seal can be read without a key"


def _summed(flags: int, body: bytes) -> bytes:
    """With the checksum that one who changes bytes would put before them."""
    return struct.pack("<I", crc32(body, flags & (DIGESTED | NAMED))) + body
