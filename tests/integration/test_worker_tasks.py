"""A real worker of a small project: what it does with messages of every kind, and what watchers see of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import redis

from tests.working.project import Project
from tests.working.watcher import Watcher
from warmer.core.keys import keyspace
from warmer.testing import ValkeyServer, wait_until
from warmer.worker.message import HEADER, Message

QUERIES = '''
    from {package} import flights
    from {package}.signs import count, read, tell, wait_for
    from warmer import PUBLIC


    @flights.cached(ttl=60, name="boards.add", version="1")
    def add(a: int, b: int) -> int:
        """The sum."""
        count("add")
        return a + b


    @flights.cached(ttl=60, name="boards.number", version="1")
    def number(of: str) -> int:
        return count("number")


    @flights.cached(ttl=60, name="boards.slow", version="1")
    def slow(of: str) -> int:
        tell("slow")
        wait_for("slow")
        return count("slow")


    @flights.cached(ttl=60, name="boards.broken", version="1")
    def broken(of: str) -> int:
        count("broken")
        raise ValueError(f"no such thing: password=hunter2 {of}")


    @flights.cached(ttl=60, name="watching.watch_list", version="1", scope="user_id")
    def watch_list(user_id: int) -> list[str]:
        if user_id == 4711:
            raise ValueError("user 4711 is not there")
        return ["UA1"]


    @flights.cached(ttl=60, name="boards.wide", version="1", queue="wide", priority=0)
    def wide(of: str) -> str:
        return of
'''


_numbers = count(1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose queries are in a module of their own, with a worker that does four things at once."""
    folder = tmp_path_factory.mktemp("project")
    with ValkeyServer() as server, Project(folder, "working", server.url, server.url) as project:
        project.write("boards", QUERIES)
        with project.worker("threads", 4, "-E"):
            yield project


@pytest.fixture(autouse=True)
def disconnected(project: Project) -> Iterator[None]:
    """Ends what a test has started of the namespace in its own process."""
    yield
    project.flights.close()


@pytest.fixture
def watcher(project: Project) -> Iterator[Watcher]:
    """Sees the events of the worker."""
    with Watcher(project.flights) as watcher:
        yield watcher


@pytest.fixture
def fresh() -> str:
    """An argument that no other test uses, so that the entry is no other test's."""
    return f"n{next(_numbers)}"


def settled(project: Project) -> None:
    """Wait until the worker has done with all that was sent."""
    inspect = project.flights.celery.control.inspect(timeout=1, limit=1)

    def idle() -> bool:
        with redis.Redis.from_url(project.broker_url) as client:
            waiting = sum(client.llen(key) for key in client.scan_iter("w:broker:working:working*"))
            taken = client.hlen("w:broker:working:unacked")
        return not waiting and not taken

    wait_until(idle, timeout_s=20, description=lambda: f"the worker to be idle; it does {inspect.active()}")


# -- what is registered


def test_each_query_is_a_task_under_its_name(project: Project) -> None:
    """`celery inspect registered` lists every query of every module by name."""
    registered = project.flights.celery.control.inspect(timeout=10, limit=1).registered()

    names = {line.partition(" ")[0] for line in next(iter(registered.values()))}
    assert set(project.flights.queries) <= names


def test_the_command_line_of_celery_finds_the_project(project: Project) -> None:
    """`celery -A <package> inspect registered` works from the project's folder alone."""
    with project.celery("inspect", "registered", "--timeout", "2") as child:
        assert child.wait(30) == 0
        assert "boards.add" in child.output()


def test_a_worker_takes_from_the_queues_of_its_queries(project: Project) -> None:
    """Without -Q, a worker takes from the namespace's queue and from each that a query names."""
    queues = project.flights.celery.control.inspect(timeout=10, limit=1).active_queues()

    assert {queue["name"] for queue in next(iter(queues.values()))} == {"working", "wide"}


# -- loading


def test_a_claimed_entry_is_loaded_and_stored(project: Project, watcher: Watcher) -> None:
    """A message has its entry loaded in the worker; readers then find it."""
    assert project.send(project.claim("boards.add", 20, 22)) == 1

    project.warm("boards.add", 20, 22, value=42)
    assert watcher.seen("task-succeeded", "boards.add")["result"] == "'loaded'"


def test_a_query_may_have_a_queue_of_its_own(project: Project, fresh: str) -> None:
    """A message goes to its query's queue, where a worker takes it."""
    project.send(project.claim("boards.wide", fresh))

    project.warm("boards.wide", fresh, value=fresh)


def test_params_too_long_for_a_key_reach_the_worker(project: Project) -> None:
    """An entry whose key holds a digest is loaded with the params that the message carries."""
    long = "x" * 600
    project.send(project.claim("boards.wide", long))

    project.warm("boards.wide", long, value=long)


def test_the_wait_in_the_queue_is_measured(project: Project, fresh: str) -> None:
    """How long an entry had been due when its load began is recorded, for the next due time."""
    claim = project.claim("boards.number", fresh)
    project.send(replace(claim, due_at=claim.due_at - 7_000_000))

    wait_until(lambda: project.value("boards.number", fresh), description="the entry to be stored")
    recent = keyspace("working", 0).recent("boards.number")
    with redis.Redis.from_url(project.redis_url) as client:
        wait_us = int(client.lindex(recent, 0).split()[0])
    assert 7_000_000 <= wait_us < 17_000_000


# -- messages of every kind


def test_a_message_done_twice_is_loaded_once(project: Project, fresh: str) -> None:
    """A redelivered message finds its entry committed since its claim, and does nothing."""
    before, claim = project.counted("number"), project.claim("boards.number", fresh)

    project.send(claim)
    project.warm("boards.number", fresh, value=before + 1)
    project.send(claim, claim)
    settled(project)

    assert project.counted("number") == before + 1
    assert project.value("boards.number", fresh) == before + 1


def test_copies_at_once_are_loaded_once(project: Project, fresh: str) -> None:
    """Ten copies of a message that arrive together start one load."""
    before, claim = project.counted("slow"), project.claim("boards.slow", fresh)

    project.send(*[claim] * 10)
    project.told("slow")
    wait_until(lambda: _waiting(project) <= 3, description="the copies to be taken")
    project.open("slow")
    project.warm("boards.slow", fresh, value=before + 1)
    settled(project)

    assert project.counted("slow") == before + 1


def test_messages_out_of_order_leave_the_newest_load(project: Project, fresh: str) -> None:
    """A message that comes after a later one of its entry does nothing."""
    before = project.counted("number")
    early, late = project.claim("boards.number", fresh), project.claim("boards.number", fresh)

    project.send(late)
    project.warm("boards.number", fresh, value=before + 1)
    project.send(early)
    settled(project)

    assert project.counted("number") == before + 1


def test_a_message_that_comes_late_refreshes_nothing_that_is_newer(project: Project, fresh: str) -> None:
    """What a reader has loaded since the claim stays: the message is void."""
    claim = project.claim("boards.number", fresh)
    loaded = project.flights.queries["boards.number"].refresh(fresh)

    project.send(claim)
    settled(project)

    assert project.value("boards.number", fresh) == loaded


def test_a_message_after_an_invalidation_loads(project: Project, fresh: str) -> None:
    """A claim older than an invalidation still has the entry loaded, under a lease that is newer."""
    claim = project.claim("boards.number", fresh)
    project.flights.queries["boards.number"].refresh(fresh)
    project.flights.queries["boards.number"].invalidate(fresh)
    before = project.counted("number")

    project.send(claim)

    project.warm("boards.number", fresh, value=before + 1)


def test_a_value_that_was_invalidated_in_its_load_is_not_stored(
    project: Project, watcher: Watcher, fresh: str
) -> None:
    """A load in a worker that an invalidation overtakes stores nothing, and its outcome says so."""
    project.send(project.claim("boards.slow", fresh))
    project.told("slow")

    project.flights.queries["boards.slow"].invalidate(fresh)
    project.open("slow")

    assert watcher.seen("task-succeeded", "boards.slow")["result"] == "'loaded, not stored'"
    assert project.value("boards.slow", fresh) is None


def test_an_entry_of_another_version_is_left_alone(project: Project, watcher: Watcher, fresh: str) -> None:
    """A worker loads no entry of a version of the query that it does not have, and says so."""
    before, claim = project.counted("number"), project.claim("boards.number", fresh)
    project.send(replace(claim, member=claim.member.replace("@1:", "@0:")))

    outcome = watcher.seen("task-succeeded", "boards.number")["result"]

    assert outcome == "'nothing: of another version of the query'"
    assert project.counted("number") == before
    with redis.Redis.from_url(project.redis_url) as client:
        assert client.keys(f"*number@0:{fresh}") == []


def test_an_entry_of_another_shard_count_is_left_alone(
    project: Project, watcher: Watcher, fresh: str
) -> None:
    """A claim that names a shard which the entry is not in has a stamp that means nothing here."""
    before, claim = project.counted("number"), project.claim("boards.number", fresh)
    project.send(replace(claim, shard=3))

    outcome = watcher.seen("task-succeeded", "boards.number")["result"]

    assert outcome == "'nothing: of another number of shards'"
    assert project.counted("number") == before


def said_by_hand(project: Project, query: str, said: Any) -> None:
    """Send a message that enqueue would not."""
    project.flights.celery.send_task(query, ["by hand"], queue="working", headers={HEADER: said})


def test_a_message_of_a_later_release_is_left_alone(project: Project, watcher: Watcher) -> None:
    """While a later release is rolled out, its messages are left to its own workers."""
    said_by_hand(project, "boards.number", {"v": 2, "new": "ways"})

    outcome = watcher.seen("task-succeeded", "boards.number")["result"]

    assert outcome == "'nothing: sent by a later release'"


@pytest.mark.parametrize("said", [None, "JFK", {"v": 1}, {"v": 1, "member": "other@1:x"}])
def test_a_message_that_is_none_is_an_error(project: Project, watcher: Watcher, said: object) -> None:
    """A task that was sent by hand fails with an error that says what to call instead."""
    said_by_hand(project, "boards.number", said)

    failed = watcher.seen("task-failed", "boards.number")
    assert failed["exception"].startswith("NotAMessage('boards.number'")


def test_a_message_of_another_query_is_an_error(project: Project, watcher: Watcher, fresh: str) -> None:
    """A task loads nothing but its own query's entries."""
    message = Message.of(project.claim("boards.wide", fresh), 0.0)
    before = project.counted("number")

    said_by_hand(project, "boards.number", message.plain())

    assert "it is an entry of boards.wide" in watcher.seen("task-failed", "boards.number")["exception"]
    assert project.counted("number") == before


# -- failures


def test_a_failed_load_is_a_failed_task_and_is_not_retried(
    project: Project, watcher: Watcher, fresh: str
) -> None:
    """What a load raises shows as the task's failure, once; trying again is the due index's job."""
    before = project.counted("broken")
    project.send(project.claim("boards.broken", fresh))

    failed = watcher.seen("task-failed", "boards.broken")
    settled(project)

    assert f"LoadFailed('boards.broken', '{fresh}', 'ValueError'" in failed["exception"]
    assert project.counted("broken") == before + 1
    assert [event for event in watcher.events if event["type"] == "task-retried"] == []


def test_a_failure_shows_no_secret(project: Project, watcher: Watcher, fresh: str) -> None:
    """Neither the failure nor its traceback holds a password that the load's error quotes, or its cause."""
    project.send(project.claim("boards.broken", fresh))

    failed = watcher.seen("task-failed", "boards.broken")

    assert "password=***" in failed["exception"]
    assert "hunter2" not in json.dumps(watcher.events)
    assert "raise ValueError" not in failed["traceback"]


def test_nothing_private_is_shown(project: Project, watcher: Watcher) -> None:
    """Whose entry is loaded is seen neither in a task's arguments nor in its failure."""
    project.send(project.claim("watching.watch_list", 4711))

    received, failed = (watcher.seen(k, "watching.watch_list") for k in ("task-received", "task-failed"))

    assert received["args"] == "watch_list(***)"
    assert failed["exception"].startswith("LoadFailed('watching.watch_list', '***', 'ValueError', '***', ")
    assert "4711" not in json.dumps([e for e in watcher.events if e.get("uuid") == failed["uuid"]])


def test_what_is_being_loaded_can_be_read(project: Project, fresh: str) -> None:
    """`celery inspect active` shows the call as people write it."""
    project.send(project.claim("boards.slow", fresh))
    project.told("slow")

    active = project.flights.celery.control.inspect(timeout=10, limit=1).active()
    project.open("slow")
    settled(project)

    assert [task["args"] for task in next(iter(active.values()))] == [[f"slow({fresh})"]]


# -- who needs Celery


def test_readers_do_without_celery(project: Project) -> None:
    """A script that reads, loads, refreshes and invalidates never imports Celery."""
    script = f"""
import sys
from {project.package}.boards import add
assert add(1, 1) == 2
assert add.refresh(1, 1) == 2
assert add.invalidate(1, 1) == 1
print("celery" in sys.modules, "kombu" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project.folder, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "False"]


def _waiting(project: Project) -> int:
    with redis.Redis.from_url(project.broker_url) as client:
        return sum(client.llen(key) for key in client.scan_iter("w:broker:working:working*"))
