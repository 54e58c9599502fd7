"""Removing many entries, in every shard at once: pages of members are read while those before them go.

What is in one round trip the server does in one go, for a client's commands that have arrived together are
done together. So a trip removes a bounded number of members, however many shards they are spread over.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from warmer.core.tokens import escape
from warmer.store.operations import CHUNK, Store, chunks
from warmer.store.scripts import Argument, Call

#: Repeats an idempotent step until the server has answered; the names are for the error.
Confirm = Callable[[Sequence[str], Callable[[], Any]], Any]

#: Lists that are read in a trip. Reading a page of a list takes a hundredth of removing it.
SCANS = 64
#: Members a page: the server gives a few more than it is asked for, and they should fit into one removal.
PAGE = CHUNK * 9 // 10


@dataclass(slots=True)
class _List:
    """A name's members, or a query's index, in one shard; and how far it has been read."""

    shard: int
    name: str
    key: bytes
    command: str
    cursor: bytes = b"0"

    def page(self) -> Call:
        return Call("", b"", [self.command, self.key, self.cursor, "COUNT", PAGE])

    def members(self, reply: Any) -> list[str]:
        self.cursor, page = reply
        found = page[::2] if self.command == "ZSCAN" else page
        return [member.decode("utf-8", "surrogatepass") for member in found]


@dataclass(frozen=True, slots=True)
class Batch:
    """Members of one list that go alike; stale_us: of their query's `stale_after_write`."""

    stale_us: int
    members: Sequence[str]


def remove_listed(
    store: Store,
    stamps: Sequence[int],
    lists: Iterable[tuple[int, str]],
    stale_us_of: Callable[[str, str], int],
    confirm: Confirm,
) -> int:
    """Take every value under these names that is older than its shard's stamp; how many went.

    lists: (shard, name). stale_us_of: what is kept for how long, by name and escaped query. confirm: repeats
    a step until it is answered, as `Store.confirmed` does.
    """

    def batches(one: _List, page: list[str]) -> list[Batch]:
        grouped: dict[int, list[str]] = {}
        for member in page:
            grouped.setdefault(stale_us_of(one.name, member.partition("@")[0]), []).append(member)
        return [Batch(stale_us, members) for stale_us, members in grouped.items()]

    found = [_List(s, name, store.roots[s] + f"members:{name}".encode(), "SSCAN") for s, name in lists]
    return _remove(store, stamps, found, batches, confirm)


def remove_indexed(
    store: Store,
    stamps: Sequence[int],
    query: str,
    batches: Callable[[int, list[str]], list[Batch]],
    confirm: Confirm,
) -> int:
    """Take the values of a query that are older than their shard's stamp; how many went.

    batches: of a shard and a page of members, those that are to go. confirm: as of `remove_listed`.
    """
    index = f"index:{escape(query)}".encode()
    lists = [_List(shard, "", root + index, "ZSCAN") for shard, root in enumerate(store.roots)]
    return _remove(store, stamps, lists, lambda one, page: batches(one.shard, page), confirm)


def _remove(
    store: Store,
    stamps: Sequence[int],
    lists: Iterable[_List],
    batches: Callable[[_List, list[str]], list[Batch]],
    confirm: Confirm,
) -> int:
    unread, going, removed = deque(lists), deque[tuple[int, Call]](), 0
    while unread or going:
        trip = _trip(going)
        # No page is read before there is a place for it: what is in memory is a page of each list in a trip.
        reading = [] if going else [unread.popleft() for _ in range(min(SCANS, len(unread)))]
        calls = [*trip, *(one.page() for one in reading)]
        names = tuple({one.name or one.command for one in reading}) or ("members",)
        replies = confirm(names, functools.partial(store.scripts.run_all, calls))
        removed += sum(int(reply[2]) for reply in replies[: len(trip)])
        for one, reply in zip(reading, replies[len(trip) :], strict=True):
            for batch in batches(one, one.members(reply)):
                for some in chunks(batch.members, CHUNK):
                    args: list[Argument] = [stamps[one.shard], batch.stale_us, one.name, *some]
                    going.append((len(some), Call("remove", store.roots[one.shard], args)))
            if int(one.cursor) != 0:
                unread.append(one)
    return removed


def _trip(going: deque[tuple[int, Call]]) -> list[Call]:
    """The next calls of one trip: as many members as one call may have."""
    calls: list[Call] = []
    size = 0
    while going and (not calls or size + going[0][0] <= CHUNK):
        members, call = going.popleft()
        size += members
        calls.append(call)
    return calls
