"""Under which life of the server something was applied, and with which stamp: what a row is marked with.

The stamp is given when all is removed, and by a server that has been asked who it is. So of data with a
later one it is known that what the row says was applied to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmer.store.operations import Store


@dataclass(frozen=True, slots=True)
class Settled:
    """A life of the server, and a stamp that it gave."""

    life: str
    stamp: int


def settle(store: Store, lives: Iterable[bytes]) -> Settled | None:
    """What was applied in these lives is settled so; None if that was not one life, or it is over.

    No life at all: there was nothing to do.

    None: nobody knows what was done where, and it has to be applied again. Raises ServerError.
    """
    reply = store.scripts.run("settle", store.roots[0], [])
    return Settled(reply[3].decode(), int(reply[2])) if set(lives) <= {reply[3]} else None


__all__ = ["Settled", "settle"]
