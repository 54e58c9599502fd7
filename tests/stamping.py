"""Half of an invalidation: names are stamped, and nothing is removed, as if it had died in between."""

from __future__ import annotations

from warmer import Warmer
from warmer.store.operations import FENCE_AGE_US, FENCE_NAMES


def stamp(flights: Warmer, *names: str) -> list[int]:
    """Raise the fence of these names in every shard; each shard's stamp."""
    store = flights.runtime().store
    replies = [store.scripts.run("stamp", root, [FENCE_NAMES, FENCE_AGE_US, *names]) for root in store.roots]
    return [int(reply[2]) for reply in replies]
