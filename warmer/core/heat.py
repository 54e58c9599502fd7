"""How much an entry is read, as `warmer/lua/_heat.lua` writes it: records of many entries in one bucket."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass

_RECORD = struct.Struct("<5sIHHB")
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
    for own, ticks, ahead, low, high in _RECORD.iter_unpack(records):
        if own == digest:
            ago = (int(now_us // _TICK_US) - ticks) % _WRAPS
            ago -= _WRAPS if ago >= _WRAPS // 2 else 0
            last_read_us = now_us - ago * _TICK_US - (_grown(ahead, 1500) if ahead > 1 else 0.0)
            rate, idle = divmod(high << 16 | low, 4096)
            return Heat(last_read_us, _grown(rate, 128) / 1e6, _grown(idle, 93), ahead == 0)
    return None


def _grown(logarithm: int, steps: int) -> float:
    """What a logarithm of `_heat.lua` stands for, times 1000: microseconds of one of milliseconds."""
    return (math.exp2(logarithm / steps) - 1) * 1000
