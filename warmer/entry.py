"""What a read tells beside the value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from warmer.core.header import Header
from warmer.core.names import is_tag, tag_of
from warmer.core.payload import digest_in, names_in

if TYPE_CHECKING:
    from warmer.reading import Reading

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
    # Header, checksum, digest and names, as stored: what few readers want is read from it when asked for.
    front: bytes = field(default=b"", repr=False, compare=False)
    source: tuple[Reading[R], tuple[Any, ...]] | tuple[str, ...] = field(
        default=(), repr=False, compare=False
    )

    @property
    def fresh(self) -> bool:
        """Whether it is within its ttl."""
        return self.state != "stale"

    @property
    def etag(self) -> str | None:
        """16 hexadecimal digits that stand for the result: the same as long as loads find the same result.

        They outlast an invalidation, a restart and a load past an absent Redis, if the result is the same.
        None: of a sensitive query, or read past the cache (inside another load).
        """
        return digest_in(self.front).hex() or None

    @property
    def ttl_left(self) -> float:
        """Seconds for which it was still fresh when it was read; 0.0 when it is stale or was not stored."""
        return self._left("fresh_until")

    @property
    def grace_left(self) -> float:
        """Seconds until the end of its grace, as of the read; 0.0 when it was not stored."""
        return self._left("grace_until")

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it stands under, as the fence writes them: itself, its query, tables, tags, owner.

        Among them what its load found: `flags.tag(...)`, and the names of queries that it called.
        """
        if self.source and not isinstance(self.source[0], str):
            reading, args = self.source
            params = reading.params(args)
            known = reading.names_of(params, reading.entry(args)).all()
        else:
            known = self.source
        return tuple(dict.fromkeys((*known, *names_in(self.front))))

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags: those that the query declares, and those that its load found."""
        return tuple(tag_of(name) for name in self.names if is_tag(name))

    def _left(self, bound: str) -> float:
        header = Header.read(self.front)
        if header is None or not header.fresh_until:
            return 0.0
        lasts_us: float = getattr(header, bound) - header.stored_at
        return max(0.0, lasts_us / 1e6 - self.age)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied with its names, and without the query."""
        plain = (self.value, self.age, self.state, self.stamp, self.cost, self.key, self.waited, self.front)
        return Entry, (*plain, self.names)
