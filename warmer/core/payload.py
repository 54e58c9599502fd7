"""The payload of an entry: a checksum, then the encoded value, compressed where that pays.

    offset 0  CRC-32 of all that follows, 4 bytes, little-endian
           4  the result's digest, 8 bytes (flag DIGESTED)
              whose value it is, the digest of an identity, 8 bytes (flag OWNED; else it is everybody's)
              the names that the load found: their size, 4 bytes, and a MessagePack array (flag NAMED)
              the value in MessagePack, or (flag COMPRESSED) one zstd frame of it, or either (flag SEALED)
              in a seal, see warmer.sealing

The checksum begins with the three flags that say how this is laid out, so that a flipped one shows. The
digest is of the encoded value before compression: two loads that found the same result have the same digest,
whoever ran them.

The checksum is what makes a changed byte a miss and never a wrong value: MessagePack alone would read a
flipped bit in a string as another string. It costs 2 us of a 2.4 kB value's 70 us of decoding.

A seal authenticates what stands before the value, which is in the clear: names are there for anybody
anyway, as an invalidation must find them, readers check the owner before all else, and the digest of a
sealed result is made with its key. Who has to find a seal takes a value without one for a miss: else who
can write to Redis would just leave it out.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from hashlib import blake2b
from struct import Struct
from typing import Protocol
from zlib import crc32

import zstandard
from msgspec import MsgspecError, msgpack

from warmer.core.header import COMPRESSED, DIGESTED, FORMAT, HEADER_SIZE, NAMED, OWNED, SEALED
from warmer.errors import CorruptEntry, EntryNotOpened

CHECKSUM_SIZE = 4
#: Chance gives two different results one digest once in 10**19. It is no seal against who makes the rows.
DIGEST_SIZE = 8
OWNER_SIZE = 8
PUBLIC_OWNER = bytes(OWNER_SIZE)
#: Compression is in the worker, decompression in the readers: level 3 is where zstd's ratio curve flattens.
LEVEL = 3


Raw = bytes | bytearray | memoryview


class Seal(Protocol):
    """What seals and opens one entry. stated: what stands before the body, and is not hidden by it."""

    def digest(self, raw: bytes) -> bytes:
        """What stands for an encoded result; DIGEST_SIZE bytes."""

    def seal(self, stated: bytes, body: bytes) -> bytes:
        """The body, sealed."""

    def open(self, stated: bytes, sealed: memoryview) -> bytes:
        """The body again. Raises EntryNotOpened."""


class _Decompressor(threading.local):
    """One for each thread: they are not safe to share, and making one costs as much as a small value."""

    def __init__(self) -> None:
        self.decompress = zstandard.ZstdDecompressor().decompress


_decompressor = _Decompressor()
_CHECKSUM = Struct("<I")
_read_checksum = _CHECKSUM.unpack_from
_SIZE = Struct("<I")
_LAYOUT = DIGESTED | NAMED | OWNED
_WRAPPED = OWNED | NAMED | SEALED | COMPRESSED
# Copying so little costs less than a view of it.
COPIED_BELOW = 2048
# Known when the payload is made; the others of a header are the commit's.
_SEALED_WITH = DIGESTED | _WRAPPED
_read_names = msgpack.Decoder(tuple[str, ...]).decode


def digest(raw: bytes) -> bytes:
    """What stands for an encoded result when it is compared with another: 64 bits of BLAKE2b."""
    return blake2b(raw, digest_size=DIGEST_SIZE).digest()


def pack(
    raw: bytes,
    compress_over_bytes: int,
    digest: bytes = b"",
    names: Collection[str] = (),
    seal: Seal | None = None,
    owner: bytes = PUBLIC_OWNER,
) -> tuple[int, bytes]:
    """The flags and the payload of an encoded value; compressed when longer than the bound and if it shrinks.

    digest: of the result, 8 bytes, or none. names: what the load found that it stands under. owner: 8 bytes.
    A compressor is made for each call: zstandard's are not safe to share between threads.
    """
    flags, body, front = 0, raw, b""
    if len(raw) > compress_over_bytes:
        frame = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(raw)
        if len(frame) < len(raw):
            flags, body = COMPRESSED, frame
    if digest:
        flags, front = flags | DIGESTED, digest
    if owner != PUBLIC_OWNER:
        flags, front = flags | OWNED, front + owner
    if names:
        listed = msgpack.encode(sorted(names))
        flags, front = flags | NAMED, front + _SIZE.pack(len(listed)) + listed
    if seal is not None:
        flags |= SEALED
        body = seal.seal(_stated(flags, front), body)
    body = front + body
    return flags, _CHECKSUM.pack(crc32(body, flags & _LAYOUT)) + body


def front_of(flags: int, blob: bytes) -> bytes:
    """What stands before the value in an entry: header, checksum, digest, owner, names."""
    end = _names_at(flags)
    if flags & NAMED:
        end += _SIZE.size + int(_SIZE.unpack_from(blob, end)[0])
    return blob[:end]


def digest_in(front: bytes) -> bytes:
    """The digest in what `front_of` gave; empty where there is none."""
    start = HEADER_SIZE + CHECKSUM_SIZE
    return front[start : start + DIGEST_SIZE] if front and front[1] & DIGESTED else b""


def owner_in(flags: int, blob: bytes) -> bytes:
    """The digest of whose value an entry is, or what `front_of` gave of one; zeros for everybody's."""
    if not flags & OWNED:
        return PUBLIC_OWNER
    end = _names_at(flags)
    return blob[end - OWNER_SIZE : end]


def names_in(front: bytes) -> tuple[str, ...]:
    """The names that the load found, in what `front_of` gave."""
    if not front or not front[1] & NAMED:
        return ()
    start = _names_at(front[1]) + _SIZE.size
    try:
        return _read_names(front[start:])
    except MsgspecError as broken:  # the checksum fits: another program wrote it
        raise CorruptEntry(f"its names can't be read: {broken}") from broken


def _names_at(flags: int) -> int:
    size = HEADER_SIZE + CHECKSUM_SIZE
    return size + (DIGEST_SIZE if flags & DIGESTED else 0) + (OWNER_SIZE if flags & OWNED else 0)


def unpack(
    flags: int,
    payload: Raw,
    limit_bytes: int,
    offset: int = 0,
    seal: Seal | None = None,
) -> Raw:
    """The encoded value in a payload (from `offset` on), not copied unless it is short, compressed or sealed.

    seal: what opens it; with one, only what it opens is read, and without one, only what is not sealed.
    Raises EntryNotOpened where these differ, or it does not open. Raises CorruptEntry when the checksum
    differs, the frame is broken, or the frame says that it holds more than `limit_bytes` (nothing is
    allocated for it then).
    """
    start, size = offset + CHECKSUM_SIZE, len(payload)
    body = payload[start:] if size < COPIED_BELOW else memoryview(payload)[start:]
    if size < start or crc32(body, flags & _LAYOUT) != _read_checksum(payload, offset)[0]:
        raise CorruptEntry("its checksum does not match")
    if flags & DIGESTED:
        body = body[DIGEST_SIZE:]
    if not flags & _WRAPPED and seal is None:
        return body
    if flags & OWNED:
        body = body[OWNER_SIZE:]
    if flags & NAMED:
        body = _past_names(body)
    opened = body
    if seal is not None or flags & SEALED:
        front = bytes(payload[offset + CHECKSUM_SIZE : len(payload) - len(body)])
        opened = _opened(flags, front, body, seal)
    return _decompress(opened, limit_bytes) if flags & COMPRESSED else opened


def _opened(flags: int, front: bytes, body: Raw, seal: Seal | None) -> bytes:
    if seal is None:
        raise EntryNotOpened("it is sealed, and this process has no key for it")
    if not flags & SEALED:
        raise EntryNotOpened("it is not sealed, as what is private must be since there is a key")
    return seal.open(_stated(flags, front), memoryview(body))


def _stated(flags: int, front: bytes) -> bytes:
    return bytes((FORMAT, flags & _SEALED_WITH)) + front


def _past_names(body: Raw) -> Raw:
    size = _SIZE.unpack_from(body)[0] if len(body) >= _SIZE.size else len(body)
    if size > len(body) - _SIZE.size:
        raise CorruptEntry(f"its names claim {size} bytes of {len(body)}")
    return body[_SIZE.size + size :]


def _decompress(frame: Raw, limit_bytes: int) -> bytes:
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= limit_bytes:
            raise CorruptEntry(f"its frame claims {size} bytes, at most {limit_bytes} are read")
        return _decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as broken:
        raise CorruptEntry(f"its frame can't be decompressed: {broken}") from broken
