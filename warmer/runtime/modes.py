"""What the current context is: inside a load, past the cache, or acting for an identity."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warmer.found.reads import Reads
    from warmer.outbox.pending import Pending


@dataclass(slots=True)
class Past:
    """Cached queries called in this context go past the cache.

    In a load they must: an inner value may be older than the outer lease. `found` gathers the names that the
    load says it depends on. reads: what its statements read, where somebody wants to know; else None.
    pending: tracked transactions that have written something in this context, where only the entries that
    their changes concern are meant. unclean: why what the load gives must not be stored. unsettled: the
    load's own transactions that have written something and are not committed.
    """

    loading: bool
    found: set[str] = field(default_factory=set)
    reads: Reads | None = None
    pending: tuple[Pending, ...] = ()
    unclean: str = ""
    unsettled: set[Pending] = field(default_factory=set)


#: None: read through the cache.
past: ContextVar[Past | None] = ContextVar("warmer_past", default=None)
#: Who the code in this context acts for: {"user_id": "42"}, as canonical text by scope. Never seen by loads.
identity: ContextVar[Mapping[str, object] | None] = ContextVar("warmer_identity", default=None)
