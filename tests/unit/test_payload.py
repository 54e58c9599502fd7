"""The payload of an entry: checksum, compression, and everything that is not one."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

import pytest
import zstandard

from warmer.core.header import COMPRESSED, DIGESTED, NAMED, NO_LIFE, OWNED, SEALED, Header
from warmer.core.payload import (
    CHECKSUM_SIZE,
    COPIED_BELOW,
    PUBLIC_OWNER,
    digest,
    digest_in,
    front_of,
    names_in,
    owner_in,
    pack,
    unpack,
)
from warmer.core.values import Codec
from warmer.errors import CorruptEntry

LIMIT = 100_000


@dataclass
class Touchy:
    n: int

    def __post_init__(self) -> None:
        raise RuntimeError("not today")


def _sealed(body: bytes) -> bytes:
    """A payload whose checksum fits, whatever is in it."""
    return struct.pack("<I", crc32(body)) + body


@pytest.mark.parametrize("raw", [b"", b"x", b"abc" * 1_000])
@pytest.mark.parametrize("over", [0, 10, 10_000])
def test_what_is_packed_is_unpacked(raw: bytes, over: int) -> None:
    """Compressed or not, empty or not, the bytes come back."""
    flags, payload = pack(raw, over)
    assert bytes(unpack(flags, payload, LIMIT)) == raw


def test_an_uncompressed_payload_is_not_copied() -> None:
    """A reader decodes from the very bytes that Redis sent; short ones are cheaper to copy than to view."""
    flags, payload = pack(b"value" * COPIED_BELOW, 10 * COPIED_BELOW)
    view = unpack(flags, payload, LIMIT)
    assert isinstance(view, memoryview)
    assert view.obj is payload


@pytest.mark.parametrize("over", [0, 10_000])
def test_no_changed_byte_gets_through(over: int) -> None:
    """Each single flipped bit, anywhere in the payload, is noticed."""
    flags, payload = pack(b"abcabcabcabcabc" * 5, over)
    for at in range(len(payload)):
        for bit in range(8):
            changed = bytearray(payload)
            changed[at] ^= 1 << bit
            with pytest.raises(CorruptEntry, match="checksum"):
                unpack(flags, changed, LIMIT)


@pytest.mark.parametrize("over", [0, 10_000])
def test_no_cut_payload_gets_through(over: int) -> None:
    """At whatever length it ends, and with anything appended."""
    flags, payload = pack(b"abcabcabcabcabc" * 5, over)
    for size in range(len(payload)):
        with pytest.raises(CorruptEntry, match="checksum"):
            unpack(flags, payload[:size], LIMIT)
    with pytest.raises(CorruptEntry, match="checksum"):
        unpack(flags, payload + b"\0", LIMIT)


def test_a_frame_that_claims_more_than_the_limit_is_not_decompressed() -> None:
    """A bomb of a few kB is refused by what its header says, before anything is allocated."""
    bomb = zstandard.ZstdCompressor().compress(bytes(50_000_000))
    assert len(bomb) < 5_000
    with pytest.raises(CorruptEntry, match=r"claims 50000000 bytes, at most 100000"):
        unpack(COMPRESSED, _sealed(bomb), LIMIT)


def test_a_frame_that_claims_less_than_it_holds_is_refused() -> None:
    """A bomb that lies about its size stops at the size it claims."""
    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(60_000)))
    at = frame.index(struct.pack("<H", 60_000 - 256))
    frame[at : at + 2] = struct.pack("<H", 1_000)
    assert zstandard.frame_content_size(bytes(frame)) == 1_256
    with pytest.raises(CorruptEntry, match="can't be decompressed"):
        unpack(COMPRESSED, _sealed(bytes(frame)), LIMIT)


def test_a_frame_that_does_not_say_its_size_is_refused() -> None:
    """Ours always say; one that does not could be of any size."""
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"abc")
    with pytest.raises(CorruptEntry, match="claims -1 bytes"):
        unpack(COMPRESSED, _sealed(frame), LIMIT)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a frame",
        zstandard.ZstdCompressor().compress(b"abc" * 50)[:-3],
        zstandard.ZstdCompressor().compress(b"abc" * 50) + b"more",
    ],
)
def test_a_broken_frame_is_refused(body: bytes) -> None:
    """Cut, foreign or followed by something else, with a checksum that fits."""
    with pytest.raises(CorruptEntry):
        unpack(COMPRESSED, _sealed(body), LIMIT)


def test_a_sealed_payload_is_refused() -> None:
    """This version knows no seals; it does not guess at what is under one."""
    with pytest.raises(CorruptEntry, match="sealed"):
        unpack(SEALED, _sealed(b"\xc0"), LIMIT)
    with pytest.raises(CorruptEntry, match="sealed"):
        unpack(SEALED | COMPRESSED, _sealed(b"\xc0"), LIMIT)


def test_a_reader_with_a_lower_limit_takes_a_larger_value_for_a_miss() -> None:
    """The limit holds where values are read, too, and not only where they are made."""
    flags, payload = Codec(str, "q", compress_over_bytes=0).encode("x" * 10_000)
    with pytest.raises(CorruptEntry, match="at most 100 are read"):
        Codec(str, "q", limit_bytes=100).decode(flags, payload)


def test_nesting_without_end_is_a_miss() -> None:
    """200,000 arrays in each other, with a checksum that fits, end as a miss and not as a RecursionError."""
    deep = b"\x91" * 200_000
    with pytest.raises(CorruptEntry, match="RecursionError"):
        Codec(list[object], "q").decode(0, _sealed(deep))


def test_an_array_that_claims_four_billion_items_is_a_miss() -> None:
    """What is claimed is not allocated."""
    with pytest.raises(CorruptEntry):
        Codec(list[int], "q").decode(0, _sealed(b"\xdd\xff\xff\xff\xff\x01"))


def test_a_value_of_another_type_is_a_miss() -> None:
    """An older version's payload under this version's key is not this version's value."""
    flags, payload = Codec(dict[str, int], "q").encode({"a": 1})
    with pytest.raises(CorruptEntry, match=r"it is not list\[int\]: ValidationError"):
        Codec(list[int], "q").decode(flags, payload)


def test_what_a_type_raises_while_it_is_made_is_a_miss() -> None:
    """Code of the annotated type runs when a value is decoded; whatever it raises, no reader sees it."""
    flags, payload = Codec(list[dict[str, int]], "q").encode([{"n": 1}])
    with pytest.raises(CorruptEntry, match="RuntimeError"):
        Codec(list[Touchy], "q").decode(flags, payload)


def test_a_checksum_is_the_first_four_bytes() -> None:
    """The layout is fixed: CRC-32, little-endian, of all that follows."""
    _, payload = pack(b"value", 100)
    assert CHECKSUM_SIZE == 4
    assert payload == struct.pack("<I", crc32(b"value")) + b"value"


@pytest.mark.parametrize("over", [0, 10_000])
@pytest.mark.parametrize("sign", [b"", b"12345678"])
@pytest.mark.parametrize("names", [(), ("g:month", "t:flights")])
@pytest.mark.parametrize("owner", [PUBLIC_OWNER, b"owner-42"])
def test_what_stands_before_the_value_is_read_without_it(
    over: int, sign: bytes, names: tuple[str, ...], owner: bytes
) -> None:
    """Digest, owner and names are read from the entry's front alone; the value is untouched."""
    raw = b"value" * 50
    flags, payload = pack(raw, over, sign, names, owner=owner)
    blob = Header(flags, NO_LIFE, 1.0, 2.0, 3.0, 4.0, 5.0).pack() + payload

    front = front_of(flags, blob)

    assert (digest_in(front), names_in(front)) == (sign, names)
    assert owner_in(flags, front) == owner_in(flags, blob) == owner
    assert bytes(unpack(flags, payload, LIMIT)) == raw
    assert len(front) < len(blob)


def test_what_is_everybodys_takes_no_room_for_an_owner() -> None:
    """Most entries are: eight bytes each."""
    flags, payload = pack(b"value", 100, b"12345678", owner=PUBLIC_OWNER)
    assert not flags & OWNED
    assert len(payload) + 8 == len(pack(b"value", 100, b"12345678", owner=b"owner-42")[1])


def test_a_flag_that_says_how_a_payload_is_laid_out_is_part_of_its_checksum() -> None:
    """An entry whose header lost or gained such a flag is a miss: its digest would be read as its value."""
    _, payload = pack(b"value", 100, b"12345678", ("g:month",))
    for other in (0, DIGESTED, NAMED, DIGESTED | NAMED | OWNED):
        with pytest.raises(CorruptEntry, match="checksum"):
            unpack(other, payload, LIMIT)


def test_names_that_claim_more_than_there_is_are_a_miss() -> None:
    """A size that reaches behind the payload's end, with a checksum that fits, ends as a miss."""
    for body in (b"\xff\xff\xff\xff", b"\x09\0\0\0\x90", b"\0"):
        payload = struct.pack("<I", crc32(body, NAMED)) + body
        with pytest.raises(CorruptEntry, match="names"):
            unpack(NAMED, payload, LIMIT)


def test_equal_results_have_one_digest() -> None:
    """In whatever order a set comes, compressed or not; a different result has another."""
    codec, squeezed = Codec(set[str], "q"), Codec(set[str], "q", compress_over_bytes=0)
    words = [f"w{n}" for n in range(50)]

    def sign(codec: Codec, value: set[str]) -> bytes:
        flags, payload = codec.encode(value)
        return digest_in(front_of(flags, Header(flags, NO_LIFE, 1.0, 2.0, 3.0, 4.0, 5.0).pack() + payload))

    same = {sign(codec, set(words)), sign(codec, set(words[25:]) | set(words)), sign(squeezed, set(words))}
    assert len(same) == 1
    assert sign(codec, set(words[1:])) not in same
    assert digest(b"a") != digest(b"b")


def test_a_set_without_an_order_can_be_stored_all_the_same() -> None:
    """Items of several kinds can't be sorted: the result is stored, and may only look changed."""
    codec = Codec(set[int | str], "q")
    assert codec.decode(*codec.encode({1, "a"})) == {1, "a"}
