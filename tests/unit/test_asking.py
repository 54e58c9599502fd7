"""A command on its way: its readers are run where its reply is here, each once, whatever another one does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from warmer.store.asking import Answer, Asked

LIFE = b"12345678"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that the test turns itself."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def _ask(loop: asyncio.AbstractEventLoop) -> Asked:
    asked = Asked(loop=loop)
    asked.packed, asked.wake, asked.also, asked.again = b"GET", None, None, False
    return asked


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


async def _read(asked: Asked, told: list[Any], name: object = None) -> Answer:
    answer = await asked
    told.append(answer[0] if name is None else name)
    return answer


def test_a_reader_goes_on_where_its_reply_is_here(loop: asyncio.AbstractEventLoop) -> None:
    """Not in a later turn of the loop."""
    told: list[Any] = []
    asked = _ask(loop)
    reader = loop.create_task(_read(asked, told))
    _turn(loop)

    asked.answer((b"value", LIFE))

    assert told == [b"value"]
    assert loop.run_until_complete(reader) == (b"value", LIFE)


def test_all_who_asked_before_it_was_sent_are_told_in_order(loop: asyncio.AbstractEventLoop) -> None:
    """One reply, and one task after another; who has gone away is passed over."""
    told: list[Any] = []
    first, second, third = asked = [_ask(loop) for _ in range(3)]
    readers = [loop.create_task(_read(one, told, at)) for at, one in enumerate(asked)]
    _turn(loop)
    first.join(second)
    first.join(third)
    readers[1].cancel()
    _turn(loop)

    first.answer((b"value", LIFE))
    first.answer((b"again", LIFE))

    assert told == [0, 2]
    assert readers[1].cancelled()
    loop.run_until_complete(asyncio.gather(readers[0], readers[2]))


def test_it_is_given_up_when_nobody_waits(loop: asyncio.AbstractEventLoop) -> None:
    """The last of its readers counts, not the first."""
    first, second = _ask(loop), _ask(loop)
    first.join(second)

    first.cancel()
    assert not first.given_up
    second.cancel()
    assert first.given_up


def test_a_reader_that_is_cancelled_goes_on_in_the_next_turn(loop: asyncio.AbstractEventLoop) -> None:
    """And only then: who cancels it may be a task itself."""
    asked = _ask(loop)
    reader = loop.create_task(_read(asked, []))
    _turn(loop)

    reader.cancel()
    assert not reader.done()
    _turn(loop)

    assert reader.cancelled()


def test_a_reader_that_ends_the_program_keeps_nothing_from_the_others(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """They are told if the loop runs on, as it does to let them clean up."""
    told: list[Any] = []
    first, second = _ask(loop), _ask(loop)
    first.join(second)

    async def ends() -> None:
        await first
        raise KeyboardInterrupt

    ending = loop.create_task(ends())
    reader = loop.create_task(_read(second, told))
    _turn(loop)

    with pytest.raises(KeyboardInterrupt):
        first.answer((b"value", LIFE))
    assert loop.run_until_complete(reader) == (b"value", LIFE)
    with pytest.raises(KeyboardInterrupt):
        ending.result()


def test_from_within_a_task_it_answers_in_the_next_turn(loop: asyncio.AbstractEventLoop) -> None:
    """A task can't be run inside another."""
    told: list[Any] = []
    asked = _ask(loop)

    async def answers() -> None:
        asked.answer_soon((b"value", LIFE))
        told.append("answered")

    reader = loop.create_task(_read(asked, told))
    _turn(loop)
    loop.run_until_complete(answers())
    loop.run_until_complete(reader)

    assert told == ["answered", b"value"]


def test_who_comes_late_and_who_else_waits_are_told_as_by_any_future(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Nothing but a task's own way of waiting is short-cut."""
    told: list[Any] = []
    asked = _ask(loop)
    reader = loop.create_task(_read(asked, told))
    _turn(loop)
    asked.add_done_callback(lambda _: told.append("second"))
    asked.answer((b"value", LIFE))

    late = loop.create_task(_read(asked, told, "late"))
    loop.run_until_complete(asyncio.gather(reader, late))

    assert told == [b"value", "second", "late"]
