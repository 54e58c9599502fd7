"""What readers and the writer tell the process that shows the figures: lines of JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Batch", "Read", "Side", "Write", "decode", "encode"]

#: Which cache: Warmer, or the plain TTL cache on the same traffic.
Side = Literal["warmer", "plain"]


class Read(msgspec.Struct, frozen=True, array_like=True):
    """One read. `began_s` from the beginning of the play, `took_s` as the reader saw it.

    `waited`: it was not served from the cache. `stamp`: the lease stamp of the value that it got, in the
    server's microseconds; 0 from the plain cache. `missing`: confirmed changes that the value lacks; above
    0: stale.
    """

    entry: int
    began_s: float
    took_s: float
    waited: bool
    stamp: int
    missing: int


class Write(msgspec.Struct, frozen=True, array_like=True):
    """One reported delay. `stamps`: entry -> the stamp of its invalidation, once that had returned."""

    began_s: float
    took_s: float
    flight: str
    delay_min: int | None
    stamps: dict[int, int]


class Batch(msgspec.Struct, frozen=True):
    """What happened in a process since its last message. `behind_s`: how late it is with what it should do.

    `errors`: reads and writes that failed, in words.
    """

    side: Side
    reads: list[Read] = []
    writes: list[Write] = []
    errors: list[str] = []
    behind_s: float = 0.0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Batch)


def encode(batch: Batch) -> bytes:
    """One line, with its end."""
    return _encoder.encode(batch) + b"\n"


def decode(line: bytes) -> Batch:
    """The batch of a line. Raises msgspec.DecodeError for anything else."""
    return _decoder.decode(line)
