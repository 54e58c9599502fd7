"""A primary that sentinels name is followed over a failover: reads go on, and nothing earlier is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import redis

from tests.board import Board
from tests.faults.readers import Readers
from tests.faults.sentinels import SERVICE, SentinelServer, Service, watched
from tests.near_board import is_near, read_until_near
from warmer.core.keyspace import keyspace
from warmer.settings import Settings
from warmer.store.addresses import connecting
from warmer.testing import wait_until

pytestmark = pytest.mark.faults

#: A failover on a loaded machine.
FAILED_OVER_S = 60.0


@pytest.fixture
def service() -> Iterator[Service]:
    """A primary, its replica and three sentinels."""
    with watched() as service:
        yield service


@pytest.fixture
def make(service: Service, namespace: str) -> Iterator[Callable[..., Board]]:
    """Makes boards that follow what the sentinels say, as if by several processes."""
    made: list[Board] = []

    def board(url: str = service.url, **options: object) -> Board:
        settings = {"broker_url": "memory://nowhere/", "invalidate_timeout": FAILED_OVER_S}
        made.append(Board(namespace, url, settings=settings, **options))
        return made[-1]

    yield board
    for one in made:
        one.close()


def test_reads_go_on_while_a_killed_primary_is_replaced(
    service: Service, make: Callable[..., Board], namespace: str
) -> None:
    """kill -9 of the primary: the breaker opens, every read has a value, the breaker closes by itself at the
    promoted replica, and what that had copied of the entry is not served though it has all of it.
    """
    board, near = make(), make(near=60)
    read_until_near(near)
    stored = board.departures("JFK")
    with redis.Redis.from_url(service.replica.url) as copy:
        wait_until(
            lambda: copy.exists(keyspace(namespace, 0).entry("departures@v:JFK")), description="a copy of it"
        )
        with Readers(board):
            service.primary.kill()
            wait_until(lambda: board.count("redis_away"), timeout_s=20, description="the breaker to open")
            loads = board.loads
            service.wait_promoted()
            wait_until(lambda: board.count("redis_back"), timeout_s=20, description="the breaker to close")
            wait_until(
                lambda: board.departures.bind("JFK").entry(), timeout_s=20, description="an entry again"
            )

        assert stored == 1
        assert board.loads > loads
        assert board.departures("JFK") > 1, "of its own life"
        read_until_near(near)
        assert board.departures.invalidate("JFK") == 1
        wait_until(
            lambda: not is_near(near), description="the near listener to hear of it at the new primary"
        )


def test_processes_leave_a_primary_that_still_answers(service: Service, make: Callable[..., Board]) -> None:
    """SENTINEL FAILOVER: the old primary goes on answering for seconds. Every process leaves it by itself, no
    read fails meanwhile, and from then on invalidations hold for all of them.
    """
    reader, writer = make(), make()
    assert reader.departures("JFK") == writer.departures("JFK") == 1
    lives = [board.runtime.store.connections._life for board in (reader, writer)]
    with Readers(reader):
        service.fail_over()
        for board, life in zip((reader, writer), lives, strict=True):
            wait_until(
                lambda board=board, life=life: board.runtime.store.connections._life != life,  # type: ignore[misc]
                timeout_s=FAILED_OVER_S,
                description="a process at the new primary",
            )

        for _ in range(3):
            wait_until(
                lambda: reader.departures.bind("JFK").entry(), timeout_s=20, description="an entry again"
            )
            before = reader.loads
            writer.departures.invalidate("JFK")
            assert reader.departures("JFK") > before


def test_what_most_sentinels_say_counts(service: Service, make: Callable[..., Board]) -> None:
    """One that knows nothing of the failover is outvoted by its older configuration, one that is gone is done
    without; when most are gone, nobody is taken for the primary.
    """
    service.sentinels[2].close()
    service.primary.kill()
    with SentinelServer(service.primary) as alone:  # it hears of others through the primary only
        service.sentinels[2] = alone
        wait_until(
            lambda: all(s.primary_port() == service.replica.port for s in service.sentinels[:2]),
            timeout_s=FAILED_OVER_S,
            description="a new primary",
        )
        assert alone.primary_port() == service.primary.port
        settings = Settings.load(SERVICE, {"redis_url": service.url, "broker_url": "x://y"})
        said = connecting(settings)[1]["connection_pool"]
        for gone in (None, service.sentinels[1]):
            if gone is not None:
                gone.kill()
            said.forget()
            assert said.get_master_address() == ("127.0.0.1", service.replica.port)
        alone.kill()
        said.forget()
        with pytest.raises(redis.ConnectionError, match=r"1 of the 3 that are listed say .* and 2 must"):
            said.get_master_address()
        board = make()
        assert [board.departures("JFK"), board.departures("JFK")] == [1, 2], "around Redis"
