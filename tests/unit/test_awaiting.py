"""Waiting for other threads from a loop: all that comes together is one call into the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from warmer.runtime.awaiting import awaited


class _Loop(asyncio.SelectorEventLoop):
    """Counts the calls into it from elsewhere."""

    calls = 0

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:  # type: ignore[override]
        # The stubs say more than has to be passed on.
        self.calls += 1
        return super().call_soon_threadsafe(*args, **options)


def _run(main: Callable[[_Loop], Any]) -> None:
    loop = _Loop()
    try:
        loop.run_until_complete(main(loop))
    finally:
        loop.close()


def test_all_that_comes_together_is_one_call() -> None:
    """A hundred tasks are told by it; what comes later is another."""

    async def main(loop: _Loop) -> None:
        futures: list[Future[int]] = [Future() for _ in range(100)]
        waiting = [awaited(future) for future in futures]
        for number, future in enumerate(futures):
            future.set_result(number)
        assert loop.calls == 1
        assert await asyncio.gather(*waiting) == list(range(100))

        late: Future[int] = Future()
        last = awaited(late)
        late.set_result(7)
        assert await last == 7
        assert loop.calls == 2

    _run(main)


def test_an_error_and_an_end_without_a_result_are_told_as_they_are() -> None:
    """What the future raises, its waiter raises."""

    async def main(_: _Loop) -> None:
        failed: Future[int] = Future()
        cancelled: Future[int] = Future()
        waiting = awaited(failed), awaited(cancelled)
        failed.set_exception(LookupError("gone"))
        cancelled.cancel()
        with pytest.raises(LookupError, match="gone"):
            await waiting[0]
        with pytest.raises(asyncio.CancelledError):
            await waiting[1]

    _run(main)


def test_a_wait_that_is_cancelled_cancels_the_future_and_nobody_else() -> None:
    """Also when its result is on its way already."""

    async def main(_: _Loop) -> None:
        ours: Future[int] = Future()
        late: Future[int] = Future()
        other: Future[int] = Future()
        waiting = awaited(ours), awaited(late), awaited(other)
        waiting[0].cancel()
        late.set_result(1)
        waiting[1].cancel()
        other.set_result(2)
        assert await waiting[2] == 2
        assert ours.cancelled()

    _run(main)


def test_what_is_done_already_needs_no_other_thread() -> None:
    """A load that ended before anybody waited."""

    async def main(_: _Loop) -> None:
        done: Future[int] = Future()
        done.set_result(3)
        assert await awaited(done) == 3

    _run(main)


def test_a_loop_that_has_ended_is_not_called() -> None:
    """What comes then is for nobody."""
    left: list[Future[int]] = []

    async def main(_: _Loop) -> None:
        left.append(Future())
        awaited(left[0])

    _run(main)
    left[0].set_result(1)
    assert left[0].result() == 1
