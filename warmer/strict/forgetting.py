"""Forgetting strict queries that no process has any more: else every writer would bar for them for ever.

A process that has one says so once a minute. One that nobody has spoken of for a week goes out of force on
every shard, and what is stored of it goes, and only then is it taken from those that writers bar for. So a
process that was asleep for as long finds nothing stored of it, stores nothing, and tells of it as if it were
new: it comes into force when all writers know of it again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from warmer.core.strictness import read_name
from warmer.core.tokens import unescape
from warmer.store.removing import Batch, remove_indexed
from warmer.store.scripts import Call

if TYPE_CHECKING:
    from warmer.store.operations import Store
    from warmer.strict.registry import Survey

log = logging.getLogger("warmer")

#: Nobody has had a query, when nobody has said so for this long.
FORGOTTEN_US: Final = 7 * 86_400 * 1_000_000


def forget_unused(store: Store, survey: Survey) -> int:
    """Forget what nobody has had for long; how many they are. Raises ServerError: the next look does it."""
    unused = [name for name, silent_us in survey.silent.items() if silent_us >= FORGOTTEN_US]
    return sum(_forget(store, name) for name in sorted(unused))


def _forget(store: Store, name: str) -> bool:
    _put_out_of_force(store, name)
    reply = store.scripts.run("forget_strict", store.roots[0], [name, FORGOTTEN_US])
    if reply[0] != b"forgotten":
        return False  # it is brought into force anew
    _put_out_of_force(store, name)  # where somebody was half-way through bringing it into force
    log.info("no process has had the strict query %s for a week: no writer bars for it any more", name)
    return True


def _put_out_of_force(store: Store, name: str) -> None:
    """On every shard, with what is stored of it; other versions of the query stay."""
    query, mark = read_name(name)
    replies = store.scripts.run_all([Call("forget_strict", root, [name, ""]) for root in store.roots])

    def batches(_: int, page: list[str]) -> list[Batch]:
        return [Batch(0, [member for member in page if _version(member).endswith(mark)])]

    remove_indexed(store, [int(reply[2]) for reply in replies], query, batches, store.confirmed)


def _version(member: str) -> str:
    return unescape(member.partition("@")[2].partition(":")[0])
