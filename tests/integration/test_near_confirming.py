"""Near copies that live through an unchanged refresh: a few bytes of the entry tell that they may."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from tests.near_board import hear, keep_near
from warmer import Query, Warmer
from warmer.near.copies import DEAR_BYTES, Copy
from warmer.store.operations import Found
from warmer.testing import wait_until

# Text that weighs more than it costs to ask.
DEAR = "x" * (2 * DEAR_BYTES)


@dataclass
class Row:
    number: int
    text: str


class Large:
    """Queries whose results say `word`, in one process of several."""

    def __init__(self, namespace: str, redis_url: str, **options: Any) -> None:
        self.flights = Warmer(namespace, redis_url=redis_url)
        self.word = "first"
        declared: dict[str, Any] = {"ttl": 60, "near": 60, "version": "v", **options}

        def text(n: int) -> str:
            return self.word + DEAR

        def rows(n: int) -> list[Row]:
            return [Row(n, self.word + DEAR)]

        self.text: Query[[int], str] = self.flights.cached(name="text", **declared)(text)
        self.rows: Query[[int], list[Row]] = self.flights.cached(name="rows", **declared)(rows)

    def keep(self) -> None:
        """Have one entry of each query near."""
        keep_near(self.flights, lambda: self.text(1), lambda: self.rows(1))

    def copy(self) -> Copy | None:
        """The copy of the text that would be served."""
        return self.flights.runtime().near.live.get(self.text.bind(1).key.encode())

    def refreshed_by(self, other: Large) -> None:
        """Have the other process refresh both, and hear of it."""
        other.text.refresh(1)
        other.rows.refresh(1)
        hear(self.flights)

    def count(self, event: str) -> int:
        return self.flights.runtime().counts.snapshot().get(event, 0)

    def whole(self) -> tuple[int, int]:
        """How many replies have become copies: what was read as a whole, and what only was confirmed."""
        return self.count("near_copies"), self.count("near_confirmed")


@pytest.fixture
def make(redis_url: str, namespace: str) -> Iterator[Callable[..., Large]]:
    """Makes such processes."""
    made: list[Large] = []

    def make_one(**options: Any) -> Large:
        made.append(Large(namespace, redis_url, **options))
        return made[-1]

    yield make_one
    for one in made:
        one.flights.close()


@pytest.fixture
def here(make: Callable[..., Large]) -> Large:
    """This process, with its copies."""
    large = make()
    large.keep()
    return large


@pytest.fixture
def there(make: Callable[..., Large]) -> Large:
    """Another one."""
    return make()


READS: dict[str, Callable[[Query[[int], Any]], Any]] = {
    "called": lambda query: query(1),
    "read": lambda query: query.read(1).value,
    "many": lambda query: query.get_many([(1,)])[0],
    "async": lambda query: asyncio.run(query.aget(1)),
    "async many": lambda query: asyncio.run(query.aget_many([(1,)]))[0],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_copy_lives_through_an_unchanged_refresh(
    here: Large, there: Large, read: Callable[[Query[[int], Any]], Any]
) -> None:
    """It is not served after the message until it is confirmed; then it is, with its new times."""
    before, text, whole = here.text.read(1), here.text(1), here.whole()

    here.refreshed_by(there)
    assert here.copy() is None
    assert read(here.text) is text
    assert read(here.rows) == [Row(1, "first" + DEAR)]

    assert here.whole() == (whole[0], whole[1] + 2)
    hits, after = here.flights.runtime().near.hits, here.text.read(1)
    assert here.text(1) is text
    assert here.flights.runtime().near.hits == hits + 2
    assert after.stamp > before.stamp
    assert (after.etag, after.value) == (before.etag, text)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_changed_result_is_read_at_once(
    here: Large, there: Large, read: Callable[[Query[[int], Any]], Any]
) -> None:
    """What is stored is another value: the read that asks finds out, and reads it."""
    there.word, whole = "second", here.whole()

    here.refreshed_by(there)

    assert read(here.text) == "second" + DEAR
    assert read(here.rows) == [Row(1, "second" + DEAR)]
    assert here.whole() == (whole[0] + 2, whole[1])


def test_what_a_caller_does_to_a_confirmed_value_changes_nobody_elses(here: Large, there: Large) -> None:
    """The value that was set apart is nobody's."""
    here.flights.runtime().near.drop([here.rows.bind(1).key.encode()])
    here.rows(1).clear()  # read as a whole, and kept
    here.rows(1).clear()
    here.refreshed_by(there)
    confirmed = here.rows(1)
    confirmed[0].text = "mine"
    confirmed.append(Row(9, ""))

    assert here.rows(1) == [Row(1, "first" + DEAR)]


def test_a_copy_is_confirmed_after_its_seconds(here: Large) -> None:
    """Nobody has changed it, and `near` has passed: it is good for as long again from that question on."""
    copy, whole, text = here.copy(), here.whole(), here.text(1)
    assert copy is not None
    until, copy.until, copy.calm_until = copy.until, 0.0, 0.0

    assert here.text(1) is text

    again = here.copy()
    assert here.whole() == (whole[0], whole[1] + 1)
    assert again is not None
    assert again is not copy
    assert until < again.until < until + 60


@pytest.mark.parametrize("word", ["first", "second"])
def test_an_old_answer_makes_no_copy_after_the_message(here: Large, there: Large, word: str) -> None:
    """An entry that is refreshed between the answer and its reader: who asked gets what was asked for, and
    nobody is served it after that, even if the refresh found the same.
    """
    here.refreshed_by(there)
    store, fetch, text = here.flights.runtime().store, here.flights.runtime().store.fetch_front, here.text

    def late(key: bytes, size: int) -> tuple[Found, bytes]:
        reply = fetch(key, size)
        store.fetch_front = fetch  # type: ignore[method-assign]
        there.word = word
        here.refreshed_by(there)
        return reply

    store.fetch_front = late  # type: ignore[method-assign]

    assert text(1) == "first" + DEAR
    assert here.copy() is None
    assert text(1) == word + DEAR


def test_an_invalidated_entry_that_may_be_served_is_not_confirmed(make: Callable[..., Large]) -> None:
    """With stale_after_write the value stays, marked: it is read as any marked entry is."""
    here, there = make(stale_after_write=30, keep_warm=False), make(stale_after_write=30, keep_warm=False)
    here.keep()
    copy = here.copy()

    assert there.text.invalidate(1) == 1
    wait_until(lambda: here.copy() is not copy, description="the message")

    assert here.text.bind(1).entry().state == "stale"  # type: ignore[union-attr]
    assert here.count("near_confirmed") == 0


def test_an_entry_that_is_gone_is_loaded(here: Large, redis_url: str) -> None:
    """A deletion by hand, or the server's own."""
    here.word = "second"
    with redis.Redis.from_url(redis_url) as client:
        client.delete(here.text.bind(1).key)
    wait_until(lambda: here.copy() is None, description="the message")

    assert here.text(1) == "second" + DEAR


def test_flushing_the_server_drops_what_is_set_apart(here: Large, there: Large, redis_url: str) -> None:
    """A message that names no key takes everything."""
    here.refreshed_by(there)
    copies = here.flights.runtime().near._copies
    assert copies.apart
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()

    wait_until(lambda: not copies.apart, description="the message")


def test_a_cancelled_reader_leaves_the_copy_to_the_next(here: Large, there: Large) -> None:
    """A task that goes away while it asks takes nothing with it."""
    text = here.text(1)
    here.refreshed_by(there)

    async def main() -> str:
        reading = asyncio.create_task(here.text.aget(1))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return (await asyncio.gather(*(here.text.aget(1) for _ in range(20))))[-1]

    assert asyncio.run(main()) is text


def test_threads_that_read_while_it_is_refreshed_see_nothing_old(here: Large, there: Large) -> None:
    """Now the same, now another result, and an invalidation from here: no read that begins after the writing
    process's message has come, or after this process's own call, is older.
    """
    floor, wrong, stop = [0], list[str](), threading.Event()
    words = ["first"]

    def read(query: Query[[int], Any]) -> None:
        while not stop.is_set():
            least, value = floor[0], query(1)
            text = value if isinstance(value, str) else value[0].text
            if words.index(text[: -len(DEAR)]) < least:
                wrong.append(f"{text[:9]} after {words[least]}")

    readers = [threading.Thread(target=read, args=(query,)) for query in (here.text, here.rows)]
    for reader in readers:
        reader.start()
    for turn in range(10):
        if turn % 2:
            words.append(f"word {turn}")
            here.word = there.word = words[-1]
        if turn % 5 == 4:
            here.text.invalidate(1)
            here.rows.invalidate(1)
        else:
            here.refreshed_by(there)
        floor[0] = len(words) - 1
    stop.set()
    for reader in readers:
        reader.join(20)

    assert wrong == []
    assert here.count("near_confirmed") > 0
