"""What the current context is: inside a load, past the cache, or acting for an identity."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Past:
    """Cached queries called in this context go past the cache.

    In a load they must: an inner value may be older than the outer lease. `found` gathers the names that the
    load says it depends on.
    """

    loading: bool
    found: set[str] = field(default_factory=set)


#: None: read through the cache.
past: ContextVar[Past | None] = ContextVar("warmer_past", default=None)
#: Who the code in this context acts for: {"user_id": "42"}, as canonical text by scope. Never seen by loads.
identity: ContextVar[Mapping[str, object] | None] = ContextVar("warmer_identity", default=None)
