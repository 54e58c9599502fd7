"""Places for loads: taken from any thread, given back in turn."""

from __future__ import annotations

import asyncio

from tests.patience import PATIENCE_S
from warmer.runtime.slots import Slots


def test_places_are_taken_until_none_is_left() -> None:
    """A free place is taken at once; where none is, nobody waits who only asks."""
    slots = Slots(2)
    assert [slots.take() for _ in range(3)] == [True, True, False]
    slots.release()
    assert slots.take()


def test_a_free_place_is_had_without_waiting() -> None:
    """And it is one place the less, until it is given back."""

    async def taken() -> list[bool]:
        slots = Slots(1)
        async with asyncio.timeout(PATIENCE_S), slots:
            inside = slots.take()
        return [inside, slots.take(), slots.take()]

    assert asyncio.run(taken()) == [False, True, False]


def test_who_waits_longest_is_next() -> None:
    """A place that is given back goes to who has waited longest, before anybody who comes then."""

    async def turns() -> list[int]:
        slots, got = Slots(1), list[int]()

        async def take(number: int) -> None:
            await slots.acquire()
            got.append(number)

        assert slots.take()
        waiting = [asyncio.ensure_future(take(number)) for number in range(3)]
        await asyncio.sleep(0)
        for _ in waiting:
            slots.release()
            assert not slots.take(), "it is somebody's already"
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return got

    assert asyncio.run(turns()) == [0, 1, 2]


def test_a_wait_that_is_cancelled_takes_no_place() -> None:
    """Neither one that is cancelled while it waits, nor one to whom a place was just given."""

    async def free_after_cancelling() -> list[bool]:
        slots = Slots(1)
        assert slots.take()
        early, given = asyncio.ensure_future(slots.acquire()), asyncio.ensure_future(slots.acquire())
        await asyncio.sleep(0)
        early.cancel()
        slots.release()
        given.cancel()
        await asyncio.gather(early, given, return_exceptions=True)
        assert early.cancelled()
        assert given.cancelled()
        return [slots.take(), slots.take()]

    assert asyncio.run(free_after_cancelling()) == [True, False]
