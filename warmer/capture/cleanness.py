"""Loads that are not clean: what tracked transactions tell of a load that reads through them.

A load sees what is committed when it begins, or later. One that reads in a transaction that somebody else
began may see an older snapshot, rows as a session remembers them, or what is never committed; one that has
written itself may have read what it then rolled back. Such a value must not be stored.

Only statements tell: what a session of another's has in its identity map, it gives without one.
"""

from __future__ import annotations

from sqlalchemy import Connection

from warmer.outbox.pending import Pending
from warmer.runtime.modes import Past, past

ANOTHERS = "its load read in a transaction that had not begun in it, and may be older or not committed"


def current_load() -> Past | None:
    """The load that this context is in."""
    mode = past.get()
    return mode if mode is not None and mode.loading else None


def heard_in_load(connection: Connection, pending: Pending) -> None:
    """A statement runs in this transaction: note it if a load runs it, and did not begin the transaction."""
    load = current_load()
    if load is None or pending.begun_in is load or connection._is_autocommit_isolation():
        return
    load.unclean = ANOTHERS


def settled(pending: Pending) -> None:
    """It is committed: what its load saw of it is true."""
    if pending.begun_in is not None:
        pending.begun_in.unsettled.discard(pending)


__all__ = ["current_load", "heard_in_load", "settled"]
