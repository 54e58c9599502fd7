"""The breaker: who is let through, who asks, and when it closes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from warmer.errors import RedisUnreachable
from warmer.store.breaker import FIRST_PROBE_S, LONGEST_S, Breaker
from warmer.testing import wait_until

AWAY = RedisUnreachable("redis://127.0.0.1:6379/0", "ConnectionError: refused")


class Server:
    """One that is away until a test says otherwise, and counts who asks."""

    def __init__(self) -> None:
        self.back = threading.Event()
        self.probes = self.at_once = self.most_at_once = 0

    def probe(self) -> None:
        self.probes += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if not self.back.is_set():
                raise AWAY
        finally:
            self.at_once -= 1


@pytest.fixture
def server() -> Server:
    """Away."""
    return Server()


@pytest.fixture
def breaker(server: Server) -> Iterator[Breaker]:
    """Closed."""
    breaker = Breaker(server.probe)
    yield breaker
    breaker.stop()


def test_it_is_closed_until_something_fails(breaker: Breaker, server: Server) -> None:
    """Nobody probes a server that answers."""
    assert not breaker.open
    assert server.probes == 0


def test_many_failures_open_it_once(breaker: Breaker, server: Server) -> None:
    """However many fail, one is told of, and one asks at a time."""
    opened: list[RedisUnreachable] = []
    breaker.on_open = opened.append
    for _ in range(50):
        breaker.trip(AWAY)

    wait_until(lambda: server.probes >= 3, description="some probes")

    assert breaker.open
    assert opened == [AWAY]
    assert server.most_at_once == 1


def test_it_closes_by_itself(breaker: Breaker, server: Server) -> None:
    """When a probe is answered, nobody else having done anything; it can open again."""
    closed: list[float] = []
    breaker.on_close = closed.append
    breaker.trip(AWAY)
    server.back.set()

    wait_until(lambda: not breaker.open, description="it to close")
    wait_until(lambda: len(closed) == 1, description="it to say so")
    breaker.trip(AWAY)

    assert breaker.open


def test_a_refusal_says_why(breaker: Breaker) -> None:
    """Each who is turned away has an error of its own, with the cause and what is done about it."""
    breaker.trip(AWAY)

    first, second = breaker.refusal(), breaker.refusal()

    assert first is not second
    assert "ConnectionError: refused; it is being probed" in str(first)


def test_it_can_be_stopped(breaker: Breaker, server: Server) -> None:
    """At the end of the process its probe ends, and none begins."""
    breaker.trip(AWAY)
    breaker.stop()

    wait_until(
        lambda: not any(thread.name == "warmer-probe" for thread in threading.enumerate()),
        description="the probe to end",
    )
    breaker.trip(AWAY)
    assert not any(thread.name == "warmer-probe" for thread in threading.enumerate())


def test_one_that_was_stopped_does_not_open(breaker: Breaker, server: Server) -> None:
    """At the end of the process nobody is left to close it again."""
    breaker.stop()

    breaker.trip(AWAY)

    assert not breaker.open


def test_without_a_thread_to_probe_it_stays_closed(breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would close it: every reader asks for itself then."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)

    breaker.trip(AWAY)

    assert not breaker.open


def test_a_server_that_relapses_is_asked_at_longer_and_longer_intervals(
    breaker: Breaker, server: Server
) -> None:
    """Twice as long each time, but never much longer than a second: readers must be back soon."""
    pauses: list[float] = []

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0.0)
            return False

    breaker._stopping = Waiting()
    server.back.set()
    for _ in range(8):
        breaker.trip(AWAY)
        wait_until(lambda: not breaker.open, description="it to close")

    doubled = [min(LONGEST_S, FIRST_PROBE_S * 2**times) for times in range(8)]
    assert all(0.8 <= pause / longest <= 1.2 for pause, longest in zip(pauses, doubled, strict=True))
