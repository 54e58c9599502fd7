"""What the runtime needs to know of a query, and what it tells a reader."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from warmer.core.header import Header
from warmer.core.keys import EntryKey
from warmer.dependencies import Dependencies, Names
from warmer.options import Options
from warmer.runtime.handover import Handover

if TYPE_CHECKING:
    from warmer.runtime.batches import Batch
    from warmer.store.operations import Found

#: Shown in place of what is private.
MASKED = "***"


class Loadable(Protocol):
    """A query, as far as loading it goes."""

    name: str
    options: Options
    is_async: bool
    dependencies: Dependencies

    @property
    def is_private(self) -> bool:
        """Whether what it loads, and what errors quote of that, is not for everybody who runs the system."""

    def entry(self, args: tuple[Any, ...]) -> EntryKey:
        """The key of the entry with these canonical arguments."""

    def params(self, args: tuple[Any, ...]) -> dict[str, Any]:
        """Canonical arguments by name."""

    def names_of(self, params: Mapping[str, Any], entry: EntryKey) -> Names:
        """Every name that the entry stands under, as far as its params tell."""

    def owner_of(self, params: Mapping[str, Any]) -> bytes:
        """8 bytes: the digest of the entry's owner, zeros when it is public."""

    def call(self, params: Mapping[str, Any]) -> Any:
        """Run the function with its resources opened: the value, or a coroutine of it."""

    def call_many(self, many: Sequence[Mapping[str, Any]]) -> Any:
        """Run the batch loader, with its resources opened: the values in this order, or a coroutine."""

    def encode(
        self, value: Any, entry: EntryKey, params: Mapping[str, Any], found: Collection[str] = ()
    ) -> tuple[int, bytes]:
        """Flags and payload of an entry's value, with the names that its load found.

        Raises ResultNotStorable, ResultTooLarge.
        """


class Joint(NamedTuple):
    """An entry that a reader has no value of, to be had together with the others of its process.

    args: canonical. loads: as of `Reader`. crowded: nobody has looked for it yet, since no connection was
    free.
    """

    query: Loadable
    key: bytes
    args: tuple[Any, ...]
    loads: bool
    crowded: bool = False


@dataclass(slots=True)
class Outcome:
    """What became of a reader's wish. Exactly one of `blob` and `error` is set, unless nothing was to do.

    kind: "loaded" (by this process), "committed" (stored by anyone), "handed" (another's load, not stored),
    "busy", "soon", "barred" (nothing was done), "found" (looked for, see `found`), "failed".
    """

    kind: str
    blob: bytes = b""
    error: BaseException | None = None
    load_s: float = 0.0
    found: tuple[Found, bytes] = None, b""
    #: What readers made of `blob`, where all may have the same; None: none has yet.
    opened: Any = None
    _header: Header | None = None

    def header(self) -> Header | None:
        """The header of `blob`, read once for all who are told; None: it can't be read."""
        if self._header is None:
            self._header = Header.read(self.blob)
        return self._header


@dataclass(slots=True, eq=False)
class Reader:
    """One who waits for an entry. Times of the loop's clock; stamps of the server.

    newer_than: a stored value is good enough if its lease stamp is later; None: only a load that begins after
    now.
    waits: False for a message or a refresh in the background, which has nobody to answer to.
    batch: the other misses of its `get_many`, until its entry was asked for.
    told: False for one who is given a stale value instead of a failed load's error.
    loads: False for one who waits for a worker. extra_s: how much longer than one it waits, as others may
    come to wait as it for so long. wait_us: how long the entry had been due (a message's), -1:
    unknown.
    """

    newer_than: int | None = 0
    insist: bool = False
    servable: bool = True
    waits: bool = True
    told: bool = True
    loads: bool = True
    wait_us: int = -1
    future: Handover[Outcome] = field(default_factory=Handover)
    began: float = 0.0
    deadline: float = 0.0
    arrived: int | None = None
    batch: Batch | None = None
    extra_s: float = 0.0

    def finish(self, outcome: Outcome) -> None:
        """Tell the reader, unless it has gone away."""
        self.future.tell(outcome)


def finish(readers: Iterable[Reader], outcome: Outcome) -> None:
    """Tell all of these readers the same."""
    for reader in readers:
        reader.finish(outcome)
