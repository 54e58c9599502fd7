"""What a response is made of, as far as HTTP caching goes; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One entry in a response; or several, combined. Times are seconds.

    seed: changes when the value does, and differs between entries; empty where nothing stands for the value.
    age_s: since it was stored. fresh_s: for which it is still fresh; 0 when it is stale, or not stored.
    grace_s: for which it may be served stale after that. browser_s: for which a browser may show it without
    asking (`browser_max_age`). keys: by which caches are told to drop it; none where no cache may keep it.
    """

    seed: str
    age_s: float = 0.0
    fresh_s: float = 0.0
    grace_s: float = 0.0
    browser_s: float = 0.0
    private: bool = False
    sensitive: bool = False
    keys: tuple[str, ...] = ()


def combined(parts: Sequence[Part]) -> Part:
    """All parts as one: the strictest of each; every key, or none if one has none. `parts` must not be empty.

    In which order entries were read, and how often, makes no difference.
    """
    vouched, keyed = all(part.seed for part in parts), all(part.keys for part in parts)
    return Part(
        seed="\n".join(sorted({part.seed for part in parts})) if vouched else "",
        age_s=max(part.age_s for part in parts),
        fresh_s=min(part.fresh_s for part in parts),
        grace_s=min(part.grace_s for part in parts),
        browser_s=min(part.browser_s for part in parts),
        private=any(part.private for part in parts),
        sensitive=any(part.sensitive for part in parts),
        keys=tuple(dict.fromkeys(key for part in parts for key in part.keys)) if keyed else (),
    )
