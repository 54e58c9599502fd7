"""What the server's data knows of the lives that it has come through, and which rows of the outbox it has.

Data that a server comes up with is the beginning of what was done in the life before: a snapshot, a log of
writes, a replica's copy. So it has what was applied there up to the last stamp of settle.lua that it holds,
and so for each life before that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self, TypeAlias

from sqlalchemy import ColumnElement, and_

from warmer.outbox.schema import outbox

#: Rows by their marks: each a range of the index on (namespace, life, stamp).
Ranges: TypeAlias = Sequence[ColumnElement[bool]]

_SETTLED: Final = "settled:"
_WAS: Final = "was:"


@dataclass(frozen=True, slots=True)
class Lives:
    """The hash root..'life' of shard 0, read.

    settled: the last stamp of settle.lua by life. past: the lives that are remembered, the present one among
    them: all but those before the latest 64. earlier: the life whose data this one began with; "": it
    had none. through: what that data said of where invalidations go. forward: whether the server's clock has
    not been behind that data's.
    """

    current: str
    settled: Mapping[str, int]
    earlier: str
    through: str
    forward: bool
    trust: str
    past: frozenset[str] = frozenset()

    @classmethod
    def read(cls, fields: Mapping[bytes, bytes]) -> Self:
        """As HGETALL gives it."""
        plain = {name.decode(): value.decode() for name, value in fields.items()}
        current = plain.get("current", "")
        began = plain.get(f"from:{current}", "- 1 0 -").split(" ")
        earlier, seq, now, through = began
        settled = {
            name.removeprefix(_SETTLED): int(stamp)
            for name, stamp in plain.items()
            if name.startswith(_SETTLED)
        }
        life, _, trust = plain.get("trust", "").partition(" ")
        return cls(
            current,
            settled,
            "" if earlier == "-" else earlier,
            "" if through == "-" else through,
            int(now) >= int(seq),
            trust if life == current else "",
            frozenset(name.removeprefix(_WAS) for name in plain if name.startswith(_WAS)),
        )

    def has(self, life: str, stamp: int) -> bool:
        """Whether the data has what was applied in that life, and settled with that stamp."""
        return life == self.current or stamp <= self.settled.get(life, -1)

    def lacks(self) -> Ranges:
        """The rows that are marked as applied, and not to this data.

        "" is a life that all data has.
        """
        unmarked = and_(outbox.c.life.is_(None), outbox.c.applied_at.is_not(None))
        return [unmarked, *self.behind(self.settled)]

    def behind(self, settled: Mapping[str, int]) -> Ranges:
        """The rows that are marked with other lives, and later there than these stamps."""
        life, stamp = outbox.c.life, outbox.c.stamp
        known = sorted({"", self.current, *settled})
        between = [and_(life > low, life < high) for low, high in pairwise(known)]
        later = [and_(life == one, stamp > settled[one]) for one in known if one not in ("", self.current)]
        return [*between, life > known[-1], *later]


__all__ = ["Lives", "Ranges"]
