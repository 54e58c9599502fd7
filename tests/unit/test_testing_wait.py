"""warmer.testing.wait: waiting for a condition."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time

import pytest

from warmer.errors import WarmerError
from warmer.testing import ChildEnded, NotReached, wait_until, wait_until_async


def test_what_the_condition_returns_is_returned() -> None:
    """The awaited value itself comes back, so a test can go on with it."""
    assert wait_until(lambda: "found", description="a value") == "found"


def test_a_condition_is_looked_at_until_it_holds() -> None:
    """A condition that comes true later is awaited, and not for much longer than it takes."""
    event = threading.Event()
    threading.Timer(0.05, event.set).start()
    begun = time.monotonic()
    assert wait_until(event.is_set, description="the timer")
    assert 0.04 < time.monotonic() - begun < 2


def test_a_failure_says_what_was_awaited_and_the_last_value() -> None:
    """Whoever reads the report learns what did not happen, and how far it got."""
    rows: list[str] = []
    with pytest.raises(NotReached) as failed:
        wait_until(lambda: rows, timeout_s=0.02, description="three rows in the index")
    assert str(failed.value) == "waited 0.02 s for three rows in the index; the last value was []."


def test_a_failure_without_description_names_the_condition() -> None:
    """A condition that was not described is at least named."""
    with pytest.raises(NotReached, match=r"Event\.is_set"):
        wait_until(threading.Event().is_set, timeout_s=0)


def test_a_description_may_be_made_when_it_is_needed() -> None:
    """A description that costs something (a log's tail) is made only for a failure."""
    made: list[int] = []

    def describe() -> str:
        made.append(1)
        return "the log to say ready"

    wait_until(lambda: True, description=describe)
    assert made == []
    with pytest.raises(NotReached, match="the log to say ready"):
        wait_until(lambda: False, timeout_s=0, description=describe)


def test_a_long_value_is_cut() -> None:
    """A huge last value does not bury the report."""
    with pytest.raises(NotReached) as failed:
        wait_until(_Falsy, timeout_s=0, description="it")
    assert len(str(failed.value)) < 600


def test_a_condition_is_looked_at_once_more_at_the_end() -> None:
    """What came true during the last pause counts: a slow machine does not make a failure of it."""
    deadline = time.monotonic() + 0.02
    assert wait_until(lambda: time.monotonic() >= deadline, timeout_s=0.02)


def test_an_error_of_the_condition_passes_through() -> None:
    """A condition that breaks is a broken test, not a condition that does not hold yet."""
    with pytest.raises(ZeroDivisionError):
        wait_until(lambda: 1 // 0)


def test_waiting_in_asyncio_leaves_the_loop_free() -> None:
    """The awaited thing may be another task of the same loop."""

    async def main() -> str:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, event.set)
        return "yes" if await wait_until_async(event.is_set, description="the other task") else "no"

    assert asyncio.run(main()) == "yes"


def test_an_async_condition_is_awaited() -> None:
    """The condition may itself need the loop."""

    async def main() -> int:
        counts = iter([0, 0, 7])

        async def look() -> int:
            await asyncio.sleep(0)
            return next(counts)

        return await wait_until_async(look, description="seven")

    assert asyncio.run(main()) == 7


def test_waiting_in_asyncio_fails_like_waiting_elsewhere() -> None:
    """The message is the same in both colours."""

    async def main() -> None:
        await wait_until_async(lambda: 0, timeout_s=0.01, description="one")

    with pytest.raises(NotReached, match=r"waited 0\.01 s for one; the last value was 0"):
        asyncio.run(main())


@pytest.mark.parametrize(
    "failure", [NotReached("it", 1.0, "0"), ChildEnded("worker", -9, "ready", "the end")]
)
def test_failures_are_assertions_and_survive_pickling(failure: AssertionError) -> None:
    """pytest shows them as failures, and pytest-xdist can carry them between processes."""
    assert isinstance(failure, WarmerError)
    again = pickle.loads(pickle.dumps(failure))
    assert (type(again), again.args, str(again)) == (type(failure), failure.args, str(failure))


class _Falsy:
    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "x" * 10_000
