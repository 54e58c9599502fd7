"""The header of an entry: the first 64 bytes of what Redis holds under an entry's key.

    offset 0  format     1 byte, 0xC1 (a byte that MessagePack never uses: no bare value passes for one)
           1  flags      1 byte, see below
           2  reserved   2 bytes, written as zeros, ignored when read
           4  life       8 bytes, the server's life in which the entry was stored
          12  stamp      the stamp of the lease under which it was loaded
          20  stored_at  when it was committed
          28  fresh_until
          36  grace_until
          44  due_at     when it should be recomputed
          52  cost_us    how long the load took, microseconds in 4 bytes
          56  owner      8 bytes, digest of the identity whose value this is; zeros when public
          64  payload    see warmer.core.payload

Stamps and times are microseconds of the server's clock as little-endian IEEE doubles: exact up to 2**53
(the year 2255), and read by Lua's `struct` as the numbers they are. `commit.lua` writes the same layout.
What is deliberately absent: the query and its params. They are the key.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from struct import Struct
from typing import TypeAlias

FORMAT = 0xC1
HEADER_SIZE = 64

COMPRESSED = 0b0001
SEALED = 0b0010
INVALIDATED = 0b0100
UNCHANGED = 0b1000  # the load before this one found the same result; set by commit.lua
DIGESTED = 0b1_0000  # a digest of the result stands before the value
NAMED = 0b10_0000  # so do the names that the load found
KNOWN_FLAGS = COMPRESSED | SEALED | INVALIDATED | UNCHANGED | DIGESTED | NAMED

NO_LIFE = bytes(8)
PUBLIC_OWNER = bytes(8)
MAX_COST_US = 2**32 - 1  # 71 minutes; a longer load is told apart from it by nothing that decides

#: flags, life, stamp, stored_at, fresh_until, grace_until, due_at, cost_us, owner
Times: TypeAlias = tuple[int, bytes, float, float, float, float, float, int, bytes]

_LAYOUT = Struct("<BBH8sdddddI8s")
# Pad bytes leave out what a reader has already checked or never needs.
_TIMES = Struct("<xB2x8sdddddI8s")
_unpack_times = _TIMES.unpack_from


def read_times(blob: bytes | bytearray | memoryview) -> Times | None:
    """The header's fields as a plain tuple (see `Times`), read in place; the hot path's reader.

    None when the blob is too short, has another format, or flags of a later version. A time that is not a
    number compares false with everything, so such an entry counts as gone (see `warmer.core.due.state`).
    """
    if len(blob) < HEADER_SIZE or blob[0] != FORMAT or blob[1] > KNOWN_FLAGS:
        return None
    return _unpack_times(blob)


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of an entry's header; times and stamps in server microseconds.

    life and owner are exactly 8 bytes. cost_us is cut to `MAX_COST_US`. due_at may be infinite.
    """

    flags: int
    life: bytes
    stamp: float
    stored_at: float
    fresh_until: float
    grace_until: float
    due_at: float
    cost_us: int = 0
    owner: bytes = PUBLIC_OWNER

    def __post_init__(self) -> None:
        if len(self.life) != 8 or len(self.owner) != 8:
            raise ValueError(f"life and owner are 8 bytes each, got {len(self.life)} and {len(self.owner)}")
        if not 0 <= self.flags <= KNOWN_FLAGS:
            raise ValueError(f"flags are 0 to {KNOWN_FLAGS}, got {self.flags}")

    def pack(self) -> bytes:
        """The 64 bytes that go before the payload. Raises ValueError for a negative cost."""
        if self.cost_us < 0:
            raise ValueError(f"a load costs 0 microseconds or more, got {self.cost_us}")
        cost_us = min(int(self.cost_us), MAX_COST_US)
        return _LAYOUT.pack(
            FORMAT, self.flags, 0, self.life, self.stamp, self.stored_at, self.fresh_until,
            self.grace_until, self.due_at, cost_us, self.owner,
        )  # fmt: skip

    @classmethod
    def read(cls, blob: bytes | bytearray | memoryview) -> Header | None:
        """The header of a blob, or None where `read_times` gives None or a time is not a number."""
        times = read_times(blob)
        if times is None or any(value != value for value in times[2:7]):
            return None
        return cls(*times)

    def times(self) -> Times:
        """The fields in the order of `read_times`."""
        return astuple(self)
