"""What readers and the writer tell the process that shows the figures: lines of JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

__all__ = ["Batch", "Delay", "Errand", "Heard", "Out", "Read", "Side", "Write", "decode", "encode"]

#: Which cache: Warmer, or the plain TTL cache on the same traffic.
Side = Literal["warmer", "plain"]


class Delay(msgspec.Struct, frozen=True):
    """One real delay, to be reported."""

    flight_id: int
    flight: str
    delay_min: int | None


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """What every reading or writing process is told: files that all share, and one of its own to tell in."""

    redis_url: str
    ledger: str
    cue: str
    out: str
    seconds: float


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

    `errors`: reads and writes that failed, in words. `dropped`: requests whose turn came only after the end.
    """

    side: Side
    reads: list[Read] = []
    writes: list[Write] = []
    errors: list[str] = []
    behind_s: float = 0.0
    dropped: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Batch)


def encode(batch: Batch) -> bytes:
    """One line, with its end."""
    return _encoder.encode(batch) + b"\n"


def decode(line: bytes) -> Batch:
    """The batch of a line. Raises msgspec.DecodeError for anything else."""
    return _decoder.decode(line)


class Out:
    """Where a process tells what happened: a file of its own, one line a batch."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def tell(self, batch: Batch) -> None:
        """Adds a line."""
        with self._file.open("ab", buffering=0) as out:
            out.write(encode(batch))


class Heard:
    """What is told in such a file, as it grows."""

    def __init__(self, file: Path) -> None:
        """The file may come later."""
        self._file = file
        self._offset = 0

    def new(self) -> list[Batch]:
        """The batches that were told since the last call; a line that is still being written waits."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as told:
            told.seek(self._offset)
            text = told.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [decode(line) for line in whole.splitlines()]
