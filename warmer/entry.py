"""What a read tells beside the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

R = TypeVar("R")

EntryState = Literal["fresh", "early", "stale", "loaded"]


@dataclass(frozen=True, slots=True)
class Entry(Generic[R]):
    """A value as it was read.

    age: seconds since it was committed; 0.0 when it was loaded for this read.
    state: "fresh" · "early" (fresh, and due to be recomputed) · "stale" (within grace) · "loaded" (for this
    read).
    stamp: of the lease under which it was loaded, in the server's microseconds; 0 when Redis was away.
    cost: seconds that its load took.
    waited: seconds that this read waited for a load; 0.0 for a hit.
    """

    value: R
    age: float
    state: EntryState
    stamp: int
    cost: float
    key: str
    waited: float = 0.0

    @property
    def fresh(self) -> bool:
        """Whether it is within its ttl."""
        return self.state != "stale"
