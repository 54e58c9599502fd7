"""What one who waits is told by another thread: once, whoever comes first."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from tests.patience import PATIENCE_S
from warmer.runtime import handover
from warmer.runtime.handover import Handover, Shared
from warmer.testing import wait_until


def test_who_waits_is_told() -> None:
    """In another thread, and however often it asks."""
    told: Handover[int] = Handover()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(told.result, PATIENCE_S) for _ in range(3)]
        assert not told.done()
        assert told.tell(7)
        assert [one.result(PATIENCE_S) for one in waiting] == [7, 7, 7]
    assert told.result(0) == 7
    assert told.done()
    assert not told.cancelled()


def test_a_wait_has_an_end() -> None:
    """And what is told afterwards is there for who asks again."""
    told: Handover[int] = Handover()
    with pytest.raises(TimeoutError):
        told.result(0.001)
    with pytest.raises(TimeoutError):
        told.result(-1)
    told.tell(1)
    assert told.result() == 1


def test_it_ends_once() -> None:
    """What comes second changes nothing, and says so."""
    told: Handover[int] = Handover()
    assert told.tell(1)
    assert not told.tell(2)
    assert not told.cancel()
    assert told.result() == 1

    gone: Handover[int] = Handover()
    assert gone.cancel()
    assert gone.cancel()  # it is so
    assert not gone.tell(1)
    assert gone.cancelled()
    assert gone.done()
    with pytest.raises(CancelledError):
        gone.result()


def test_one_of_many_who_end_it_at_once_does() -> None:
    """Threads that tell and cancel at the same moment: one succeeds, and callbacks are called once."""
    for number in range(200):
        told: Handover[int] = Handover()
        calls: list[int] = []
        told.add_done_callback(lambda _, calls=calls: calls.append(1))  # type: ignore[misc]
        ready = threading.Barrier(4)

        def end(who: int, told: Handover[int] = told, ready: threading.Barrier = ready) -> bool:
            ready.wait(PATIENCE_S)
            return told.cancel() if who == 3 else told.tell(who)

        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(end, range(4))) == 1, number
        assert calls == [1]


def test_a_callback_comes_whenever_it_was_added() -> None:
    """Before the end or after it, and it is given what has ended."""
    told: Handover[int] = Handover()
    seen: list[tuple[str, Handover[int]]] = []
    told.add_done_callback(lambda one: seen.append(("early", one)))
    assert seen == []
    told.tell(1)
    told.add_done_callback(lambda one: seen.append(("late", one)))
    assert seen == [("early", told), ("late", told)]


def test_many_are_told_the_same() -> None:
    """Each wakes the next; who comes afterwards does not wait."""
    told: Shared[int] = Shared()
    with ThreadPoolExecutor(50) as threads:
        waiting = [threads.submit(told.result) for _ in range(50)]
        wait_until(lambda: told.came() == 50, description="all to wait")
        assert told.tell(7)
        assert [one.result(PATIENCE_S) for one in waiting] == [7] * 50
    assert told.result(0) == 7


def test_none_of_many_ends_it_for_the_others() -> None:
    """Who goes away, or has waited long enough, goes alone."""
    told: Shared[int] = Shared()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(told.result)
        assert not told.cancel()
        with pytest.raises(TimeoutError):
            told.result(0.001)
        assert not told.done()
        assert told.tell(1)
        assert waiting.result(PATIENCE_S) == 1


def test_who_wakes_and_wakes_nobody_leaves_nobody_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """One may be interrupted just then."""
    monkeypatch.setattr(handover, "LOOK_EVERY_S", 0.05)
    told: Shared[int] = Shared()
    open_ = told._open
    told._open = threading.Lock()  # nobody wakes by this one
    told._open.acquire()
    with ThreadPoolExecutor(5) as threads:
        waiting = [threads.submit(told.result) for _ in range(5)]
        wait_until(lambda: told.came() == 5, description="all to wait")
        told._ended, told._value = True, 7
        assert [one.result(PATIENCE_S) for one in waiting] == [7] * 5
    open_.release()
