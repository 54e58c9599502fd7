"""The header of an entry: the first 40 bytes of what Redis holds under an entry's key.

    offset 0  format      1 byte, 0xC1 (a byte that MessagePack never uses: no bare value passes for one)
           1  flags       1 byte, see below; SHORT is in every one
           2  cost        2 bytes, how long the load took, as a logarithm (see `cost_in`)
           4  life        8 bytes, the server's life in which the entry was stored
          12  stamp       8 bytes, the stamp of the lease under which it was loaded
          20  stored_at   8 bytes, when it was committed
          28  fresh_for   4 bytes, as the next two: how long after that
          32  grace_for
          36  due_after   when it should be recomputed
          40  payload     see warmer.core.payload

stamp and stored_at are microseconds of the server's clock as little-endian IEEE doubles: exact up to 2**53
(the year 2255), and read by Lua's `struct` as the numbers they are. The bounds are microseconds, too, as
floats of 4 bytes, which hold 24 bits: exact up to 16 s, to 32 us in five minutes, to 0.1 s in a week. They
are always cut down: nothing is served for longer than was said. Minus infinity: never at all. `commit.lua`
writes the same layout. What is deliberately absent: the query and its params. They are the key.
Whose value it is stands in the payload, where it is not everybody's.

What has an earlier layout has no SHORT, and is a miss. Its life and stamp are where they are here, so that
an invalidation finds it old, whoever stored it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

FORMAT = 0xC1
HEADER_SIZE = 40

COMPRESSED = 0b0001
SEALED = 0b0010
INVALIDATED = 0b0100
UNCHANGED = 0b1000  # the load before this one found the same result; set by commit.lua
DIGESTED = 0b1_0000  # a digest of the result stands before the value
NAMED = 0b10_0000  # so do the names that the load found
OWNED = 0b100_0000  # and whose value it is
SHORT = 0b1000_0000  # the layout above
KNOWN_FLAGS = COMPRESSED | SEALED | INVALIDATED | UNCHANGED | DIGESTED | NAMED | OWNED

NO_LIFE = bytes(8)
MAX_COST_US = 2**32 - 1  # 71 minutes; a longer load is told apart from it by nothing that decides
_COST_STEPS = 2048  # in which a cost doubles: a third of a thousandth each
_MANTISSA_BITS = 24

#: flags (with SHORT), life, stamp, stored_at, fresh_for, grace_for, due_after
Times: TypeAlias = tuple[int, bytes, float, float, float, float, float]

_LAYOUT = Struct("<BBH8sddfff")
# Pad bytes leave out what a reader has already checked or seldom needs.
_TIMES = Struct("<xB2x8sddfff")
_unpack_times = _TIMES.unpack_from
_unpack_cost = Struct("<2xH").unpack_from


def read_times(blob: bytes | bytearray | memoryview) -> Times | None:
    """The header's fields as a plain tuple (see `Times`), read in place; the hot path's reader.

    None when the blob is too short, or has another format or layout. A time that is not a number compares
    false with everything, so such an entry counts as gone (see `warmer.core.due.state`).
    """
    if len(blob) < HEADER_SIZE or blob[0] != FORMAT or blob[1] < SHORT:
        return None
    return _unpack_times(blob)


def cost_in(blob: bytes | bytearray | memoryview) -> int:
    """How long the load took, in microseconds, to a sixth of a thousandth; of what `read_times` can read."""
    return round(math.exp2(_unpack_cost(blob)[0] / _COST_STEPS)) - 1


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of an entry's header; times and stamps in server microseconds.

    life is exactly 8 bytes. cost_us is cut to `MAX_COST_US`. A bound may be infinite, and 0 is
    never; what is read back is a little less than was packed (see above).
    """

    flags: int
    life: bytes
    stamp: float
    stored_at: float
    fresh_until: float
    grace_until: float
    due_at: float
    cost_us: int = 0

    def __post_init__(self) -> None:
        if len(self.life) != 8:
            raise ValueError(f"a life is 8 bytes, got {len(self.life)}")
        if not 0 <= self.flags <= KNOWN_FLAGS:
            raise ValueError(f"flags are 0 to {KNOWN_FLAGS}, got {self.flags}")

    def pack(self) -> bytes:
        """The 40 bytes that go before the payload. Raises ValueError for a negative cost."""
        if self.cost_us < 0:
            raise ValueError(f"a load costs 0 microseconds or more, got {self.cost_us}")
        cost = round(math.log2(1 + min(self.cost_us, MAX_COST_US)) * _COST_STEPS)
        return _LAYOUT.pack(
            FORMAT, self.flags | SHORT, min(cost, 0xFFFF), self.life, self.stamp, self.stored_at,
            self._after(self.fresh_until), self._after(self.grace_until), self._after(self.due_at),
        )  # fmt: skip

    def _after(self, until: float) -> float:
        """How long after it was stored that is, cut down to what 4 bytes hold."""
        if until == 0:
            return -math.inf
        after = until - self.stored_at
        if not abs(after) < 2**62:
            return after * math.inf
        unit = 2.0 ** max(0, math.frexp(after)[1] - _MANTISSA_BITS)
        return math.floor(after / unit) * unit

    @classmethod
    def read(cls, blob: bytes | bytearray | memoryview) -> Header | None:
        """The header of a blob, or None where `read_times` gives None or a time is not a number."""
        times = read_times(blob)
        if times is None or any(value != value for value in times[2:7]):
            return None
        flags, life, stamp, stored_at, *bounds = times
        fresh, grace, due = (0.0 if after == -math.inf else stored_at + after for after in bounds)
        return cls(flags ^ SHORT, life, stamp, stored_at, fresh, grace, due, cost_in(blob))

    def times(self) -> Times:
        """What `read_times` gives of it."""
        return _unpack_times(self.pack())
