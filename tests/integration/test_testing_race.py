"""warmer.testing.race: it passes over a protocol that holds, and finds each way of breaking it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.integration import racing_tasks
from tests.integration.racing_tasks import bump, connect, revision, version
from warmer import Handle, Query, Warmer
from warmer.errors import LoadFailed, WarmerError
from warmer.testing import RaceLost, race, using_server

JFK = "JFK"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database with one row for each of two airports."""
    monkeypatch.setenv("RACING_DB", str(tmp_path / "racing.db"))
    with closing(connect()) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE board (airport TEXT PRIMARY KEY, revision INT)")
        connection.execute("INSERT INTO board VALUES ('JFK', 0), ('EWR', 0)")
        connection.commit()


@pytest.fixture
def racing(source: None, redis_url: str) -> Iterator[Warmer]:
    """The racing namespace on a server of the test's own."""
    with using_server(racing_tasks.flights, redis_url) as namespace:
        yield namespace


def _by_key() -> int:
    written = bump(JFK)
    revision.invalidate(JFK)
    return written


def _by_part() -> int:
    written = bump(JFK)
    revision.invalidate_where(airport=JFK)
    return written


def _by_query() -> int:
    written = bump(JFK)
    revision.invalidate_all()
    return written


def _by_tag() -> int:
    written = bump(JFK)
    racing_tasks.flights.invalidate_tags("boards")
    return written


@pytest.mark.parametrize("write", [_by_key, _by_part, _by_query, _by_tag])
def test_no_read_is_stale_however_it_is_invalidated(racing: Warmer, write: Callable[[], int]) -> None:
    """By key, by part, by query and by tag: nothing older than the last invalidation is read."""
    report = race(revision.bind(JFK), write, version=version, writes=100, readers=6, async_readers=3)
    assert report.stale_reads == 0
    assert report.writes == 100
    assert report.reads > report.hits > 0
    assert report.loads > 10


def test_readers_in_other_processes_see_no_stale_read(racing: Warmer) -> None:
    """Reads and loads of other processes race with this one's writes, and are counted."""
    report = race(
        revision.bind(JFK), _by_key, version=version, writes=100, readers=2, async_readers=1, processes=2
    )
    alone = race(revision.bind(JFK), _by_key, version=version, writes=10, readers=2, async_readers=0)
    assert report.stale_reads == alone.stale_reads == 0


def test_several_entries_race_at_once(racing: Warmer) -> None:
    """A write that moves two entries is checked on both."""

    def both() -> int:
        bump(JFK)
        written = bump("EWR")
        revision.invalidate_all()
        return written

    handles = [revision.bind(JFK), revision.bind("EWR")]
    report = race(handles, both, version=version, writes=50, readers=4)
    assert report.stale_reads == 0


def test_a_write_that_forgets_to_invalidate_is_found(racing: Warmer) -> None:
    """The plainest bug: the source changes and the cache does not hear of it."""
    with pytest.raises(RaceLost, match="stale reads: 20 writes") as lost:
        race(revision.bind(JFK), lambda: bump(JFK), version=version, writes=20, readers=2, async_readers=1)
    assert lost.value.report.stale_reads > 0
    assert "racing.revision(airport='JFK') gave version" in lost.value.details[0]


def test_an_invalidation_before_the_write_is_found(racing: Warmer) -> None:
    """The commonest bug: what is loaded between the invalidation and the commit stays."""

    def too_early() -> int:
        revision.invalidate(JFK)
        revision(JFK)  # somebody reads in between, and by chance always
        return bump(JFK)

    with pytest.raises(RaceLost, match="stale reads"):
        race(revision.bind(JFK), too_early, version=version, writes=100)


def test_deleting_the_entry_without_a_fence_is_found(racing: Warmer, redis_url: str) -> None:
    """Loads that began before the write store what they read before it: the race that fences are for."""
    client = redis.Redis.from_url(redis_url)

    def delete_only() -> int:
        written = bump(JFK)
        client.delete(revision.bind(JFK).key)
        return written

    with pytest.raises(RaceLost, match="stale reads"):
        race(revision.bind(JFK), delete_only, version=version, writes=200, load_delay_s=(0, 0.02))
    client.close()


def test_stale_reads_of_other_processes_are_found(racing: Warmer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process reads counts as well: here only the others read too low."""
    monkeypatch.setenv("RACING_LAG", "1")
    with pytest.raises(RaceLost, match="stale reads"):
        race(revision.bind(JFK), _by_key, version=version, writes=30, readers=2, processes=1)


def test_a_race_that_never_loads_again_proves_nothing(racing: Warmer) -> None:
    """A value that has nothing to do with what was written passes every comparison, so the race must not."""
    with pytest.raises(RaceLost, match="the race proved nothing"):
        race(revision.bind(JFK), lambda: bump(JFK), version=lambda _: 10**9, writes=5, readers=2)


def test_failing_reads_fail_the_race_unless_tolerated(flights: Warmer) -> None:
    """An error is not a stale read; it is not a success either."""
    source = [0]

    @flights.cached(ttl=5, name="failing", version="1")
    def failing() -> int:
        raise ZeroDivisionError("no rows")

    def write() -> int:
        source[0] += 1
        return source[0]

    with pytest.raises(RaceLost, match=r"reads failed(.|\n)*LoadFailed(.|\n)*ZeroDivisionError"):
        race(failing, write, version=int, writes=3, readers=2, async_readers=1)
    for kind in (LoadFailed, WarmerError):
        with pytest.raises(RaceLost, match="the race proved nothing") as lost:
            race(failing, write, version=int, writes=3, readers=2, async_readers=1, tolerate=(kind,))
        assert lost.value.report.tolerated["LoadFailed"] > 0


def test_a_version_that_does_not_grow_is_a_mistake_of_the_test(racing: Warmer) -> None:
    """A write that reports no progress would make every read look new."""
    with pytest.raises(ValueError, match=r"returned 1 after 1; it must return a version that grows"):
        race(revision.bind(JFK), lambda: 1, version=version, writes=5, readers=1)


def test_an_error_of_the_write_ends_the_race(racing: Warmer) -> None:
    """Readers here and elsewhere stop, and the error comes through."""

    def write() -> int:
        raise ConnectionError("the database has gone")

    with pytest.raises(ConnectionError, match="has gone"):
        race(revision.bind(JFK), write, version=version, readers=2, processes=1)


def test_loads_run_undelayed_after_the_race(racing: Warmer) -> None:
    """What the race put around loads is taken off again, and what was around them before stays."""
    runtime = racing.runtime()
    around = runtime.around_load
    race(revision.bind(JFK), _by_key, version=version, writes=10, readers=2)
    assert runtime.around_load is around


def test_a_query_of_a_function_cannot_race_in_other_processes(flights: Warmer) -> None:
    """Other processes import the query; the message says where it must be."""

    @flights.cached(ttl=5, name="inner", version="1")
    def inner() -> int:
        return 1

    with pytest.raises(ValueError, match="put it at the top level of a module"):
        race(inner, lambda: 1, version=version_of, writes=1, processes=1)


def test_entries_of_two_namespaces_are_refused(flights: Warmer, racing: Warmer) -> None:
    """One race has one server and one delay of loads."""

    @flights.cached(ttl=5, name="other", version="1")
    def other() -> int:
        return 1

    mixed: list[Handle[Any]] = [other.bind(), revision.bind(JFK)]
    with pytest.raises(ValueError, match="entries of one namespace"):
        race(mixed, lambda: 1, version=version_of)


def test_async_queries_race_as_well(flights: Warmer) -> None:
    """A query that is `async def` is read from threads and tasks alike."""
    source = [0]

    @flights.cached(ttl=20, name="async", version="1")
    async def current() -> int:
        return source[0]

    def write() -> int:
        source[0] += 1
        _invalidate(current)
        return source[0]

    report = race(current.bind(), write, version=version_of, writes=50, readers=2, async_readers=2)
    assert report.stale_reads == 0


def _invalidate(query: Query[[], Any]) -> None:
    query.invalidate()


def version_of(value: int) -> int:
    """The value is its own version."""
    return value
