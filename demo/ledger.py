"""How many changes every reader must see by now, entry by entry, in memory that all processes share.

The writer counts a change once its invalidation has returned. A reader notes the count before it begins to
read; a value that holds fewer changes is stale. Neither asks any cache, and one process alone writes.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType

__all__ = ["Ledger"]

_SLOT_BYTES = 8


class Ledger:
    """One whole number an entry, in a file mapped into memory."""

    def __init__(self, file: Path) -> None:
        """Opens what `create` made."""
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)
        # Native 8-byte slots: each is stored and fetched by one instruction, so no reader sees half a number.
        self._view = memoryview(self._map)
        self._slots = self._view.cast("q")

    @classmethod
    def create(cls, file: Path, entries: int) -> Ledger:
        """A new ledger of zeros."""
        file.write_bytes(bytes(_SLOT_BYTES * entries))
        return cls(file)

    def __enter__(self) -> Ledger:
        """Itself; closed on leaving."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unmaps the file."""
        self.close()

    def __getitem__(self, entry: int) -> int:
        """Changes of the entry that have been confirmed."""
        return self._slots[entry]

    def confirm(self, entry: int) -> None:
        """One more change of the entry that every read from now on must see."""
        self._slots[entry] += 1

    def close(self) -> None:
        """Unmaps the file; it stays."""
        self._slots.release()
        self._view.release()
        self._map.close()
