"""How much an entry is read, as `warmer/lua/_heat.lua` writes it: records of many entries in one bucket."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

_RECORD = struct.Struct("<5sIIHH")
_WRAPS = 2**32
_TICK_US = 31_250


@dataclass(frozen=True, slots=True)
class Heat:
    """Reads of one entry. last_read_us: by the server's clock; idle_us: 0 where it is kept warm for good."""

    last_read_us: float
    reads_per_second: float
    idle_us: float
    admitted: bool


def digest_of(member: str) -> bytes:
    """What tells the record of a member from others."""
    return hashlib.sha1(member.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()[:5]


def bucket_of(member: str, buckets: int) -> int:
    """The number of the bucket that has the member's record, of so many (1 at least)."""
    span: int = 1 << (buckets.bit_length() - 1)
    bucket = int.from_bytes(digest_of(member)[:4], "big") % (2 * span)
    return bucket if bucket < buckets else bucket - span


def heat_in(records: bytes, member: str, now_us: float) -> Heat | None:
    """A member's record in its bucket, or None."""
    digest = digest_of(member)
    for own, last_read, admit_at, rate, idle in _RECORD.iter_unpack(records):
        if own == digest:
            ago = (int(now_us // _TICK_US) - last_read) % _WRAPS
            ago -= _WRAPS if ago >= _WRAPS // 2 else 0
            idle_us = (2 ** (idle / 1500) - 1) * 1000
            return Heat(now_us - ago * _TICK_US, (2 ** (rate / 2000) - 1) / 1000, idle_us, admit_at == 0)
    return None
