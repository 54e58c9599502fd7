"""The payload of an entry: a checksum, then the encoded value, compressed where that pays.

    offset 0  CRC-32 of all that follows, 4 bytes, little-endian
           4  the value in MessagePack, or (flag COMPRESSED) one zstd frame of it

The checksum is what makes a changed byte a miss and never a wrong value: MessagePack alone would read a
flipped bit in a string as another string. It costs 2 us of a 2.4 kB value's 70 us of decoding.
"""

from __future__ import annotations

import threading
from struct import Struct
from zlib import crc32

import zstandard

from warmer.core.header import COMPRESSED, SEALED
from warmer.errors import CorruptEntry

CHECKSUM_SIZE = 4
#: Compression is in the worker, decompression in the readers: level 3 is where zstd's ratio curve flattens.
LEVEL = 3


class _Decompressor(threading.local):
    """One for each thread: they are not safe to share, and making one costs as much as a small value."""

    def __init__(self) -> None:
        self.decompress = zstandard.ZstdDecompressor().decompress


_decompressor = _Decompressor()
_CHECKSUM = Struct("<I")
_read_checksum = _CHECKSUM.unpack_from


def pack(raw: bytes, compress_over_bytes: int) -> tuple[int, bytes]:
    """The flags and the payload of an encoded value; compressed when longer than the bound and if it shrinks.

    A compressor is made for each call: zstandard's are not safe to share between threads.
    """
    if len(raw) > compress_over_bytes:
        frame = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(raw)
        if len(frame) < len(raw):
            return COMPRESSED, _CHECKSUM.pack(crc32(frame)) + frame
    return 0, _CHECKSUM.pack(crc32(raw)) + raw


def unpack(flags: int, payload: bytes | bytearray | memoryview, limit_bytes: int) -> memoryview | bytes:
    """The encoded value in a payload, without a copy unless it is compressed.

    Raises CorruptEntry when the checksum differs, the frame is broken, or the frame says that it holds more
    than `limit_bytes` (nothing is allocated for it then).
    """
    body = memoryview(payload)[CHECKSUM_SIZE:]
    if len(payload) < CHECKSUM_SIZE or crc32(body) != _read_checksum(payload)[0]:
        raise CorruptEntry("its checksum does not match")
    if flags & (COMPRESSED | SEALED):
        if flags & SEALED:
            raise CorruptEntry("it is sealed, and this process has no key for it")
        return _decompress(body, limit_bytes)
    return body


def _decompress(frame: memoryview, limit_bytes: int) -> bytes:
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= limit_bytes:
            raise CorruptEntry(f"its frame claims {size} bytes, at most {limit_bytes} are read")
        return _decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as broken:
        raise CorruptEntry(f"its frame can't be decompressed: {broken}") from broken
