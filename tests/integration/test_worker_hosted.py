"""Queries hosted by an application that is there already: it goes on as it was, and they work beside it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.working.project import Project
from warmer import Warmer

# As unlike what queries need as an application may be.
CONF: dict[str, Any] = {
    "task_serializer": "pickle",
    "result_serializer": "pickle",
    "accept_content": ["pickle", "json"],
    "task_default_queue": "host",
    "task_default_priority": 7,
    "task_default_rate_limit": "1/h",
    "task_routes": {"boards.*": {"queue": "nowhere"}, "*": {"queue": "host"}},
    "task_create_missing_queues": True,
    "task_acks_late": False,
    "task_acks_on_failure_or_timeout": False,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": False,
    "task_time_limit": 2,
    "task_soft_time_limit": 1,
    "task_compression": "gzip",
    "worker_prefetch_multiplier": 8,
    "broker_transport_options": {"visibility_timeout": 1234},
}

PACKAGE = """
    from warmer import Warmer
    from {package}.celery import app

    flights = Warmer({namespace!r}, redis_url={redis_url!r}, celery=app)
"""

HOST = """
    from celery import Celery

    app = Celery("host", broker={broker_url!r}, include=["{package}.boards", "{package}.chores"])
    app.conf.update({conf!r})
"""

CHORES = """
    from {package}.celery import app
    from {package}.signs import tell


    @app.task(name="chores.sum", rate_limit="1000/s")
    def total(numbers):
        tell("sum", f"{type(numbers).__name__} {sum(numbers)}")
"""

QUERIES = """
    from {package} import flights
    from {package}.signs import count, read, tell, wait_for


    @flights.cached(ttl=60, name="boards.slow", version="1", timeout=20)
    def slow(n: int) -> int:
        tell("slow")
        wait_for("slow")
        return n


    @flights.cached(ttl=60, name="boards.broken", version="1")
    def broken(n: int) -> int:
        count("broken")
        raise ValueError(n)
"""


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker_url: str) -> Iterator[Project]:
    """A project whose queries are in an application with habits of its own."""
    with Project(tmp_path, namespace, redis_url, broker_url) as project:
        package = PACKAGE.replace("{namespace!r}", repr(namespace)).replace("{redis_url!r}", repr(redis_url))
        project.write("__init__", package)
        project.write(
            "celery", HOST.replace("{broker_url!r}", repr(broker_url)).replace("{conf!r}", repr(CONF))
        )
        project.write("chores", CHORES)
        project.write("boards", QUERIES)
        yield project


def make_host(name: str) -> Celery:
    """An application with a task of its own."""
    host = Celery(name, broker="memory://", set_as_current=False)
    host.conf.update(copy.deepcopy(CONF))

    @host.task(name="chores.add", shared=False)
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    return host


def add_queries(host: Celery, namespace: str) -> Warmer:
    """Have the application host two queries, one of which has options of its own."""
    flights = Warmer(namespace, redis_url="redis://127.0.0.1:1/0", celery=host)

    @flights.cached(ttl=60, name="boards.one", version="1")
    def one(n: int) -> int:
        return n

    @flights.cached(ttl=60, name="boards.two", version="1", queue="wide", priority=2, timeout=90)
    def two(n: int) -> int:
        return n

    return flights


def options_of(task: Any) -> dict[str, Any]:
    """Every option of a task that Celery reads from its application's configuration or from itself."""
    names = [name for name, _ in task.from_config] + ["throws", "max_retries", "default_retry_delay"]
    return {name: getattr(task, name, None) for name in names}


# -- the application


def test_the_configuration_of_a_host_is_not_touched(namespace: str) -> None:
    """With queries or without them, an application has the same configuration and the same queues."""
    alone, host = make_host("same"), make_host("same")

    add_queries(host, namespace)
    host.finalize()
    alone.finalize()

    assert host.conf.table(with_defaults=True) == alone.conf.table(with_defaults=True)
    assert dict(host.amqp.queues) == dict(alone.amqp.queues)
    assert set(host.amqp.queues.consume_from) == set(alone.amqp.queues.consume_from) == {"host"}


def test_the_tasks_of_a_host_are_not_touched(namespace: str) -> None:
    """A task of the application itself has the options that it had."""
    alone, host = make_host("same"), make_host("same")
    add_queries(host, namespace)

    assert options_of(host.tasks["chores.add"]) == options_of(alone.tasks["chores.add"])


def test_queries_have_their_own_options_in_a_host(namespace: str) -> None:
    """What an application says of all tasks does not apply to those of queries."""
    host = make_host("host")
    add_queries(host, namespace)

    one, two = (options_of(host.tasks[name]) for name in ("boards.one", "boards.two"))

    assert one["serializer"] == "json"
    assert one["acks_late"] is True
    assert one["acks_on_failure_or_timeout"] is True
    assert one["reject_on_worker_lost"] is False
    assert one["retry_on_worker_lost"] is True
    assert one["ignore_result"] is True
    assert not one["rate_limit"]
    assert 30 < one["soft_time_limit"] < one["time_limit"] < 60
    assert 90 < two["soft_time_limit"] < two["time_limit"]


def test_a_query_that_is_declared_late_is_a_task_at_once(namespace: str) -> None:
    """A query declared after the application has been used is registered all the same."""
    host = make_host("host")
    flights = add_queries(host, namespace)
    host.finalize()

    @flights.cached(ttl=60, name="boards.three", version="1")
    def three(n: int) -> int:
        return n

    assert {"boards.one", "boards.two", "boards.three", "chores.add"} <= set(host.tasks)


def test_other_applications_of_the_process_get_no_queries(namespace: str) -> None:
    """A query is a task of its own application, and of no other that the process has."""
    other, host = make_host("other"), make_host("host")
    add_queries(host, namespace)
    other.finalize()

    assert [name for name in other.tasks if name.startswith(("boards.", "warmer."))] == []


def test_an_application_of_our_own_does_not_become_the_current_one(namespace: str) -> None:
    """A namespace that makes an application leaves the one that is current as it is."""
    from celery import current_app

    before = current_app._get_current_object()
    flights = Warmer(namespace, redis_url="redis://127.0.0.1:1/0")
    assert flights.celery is not before

    assert current_app._get_current_object() is before


# -- its workers


def test_queries_and_the_tasks_of_a_host_work_beside_each_other(project: Project) -> None:
    """One worker does the application's pickled tasks and our messages, each in its own way."""
    host = project.flights.celery
    with project.worker("prefork", 2, "-Q", f"host,{project.flights.settings.queue}") as worker:
        project.send(project.claim("boards.slow", 7))
        project.told("slow")
        host.send_task("chores.sum", [{1, 2, 3}])

        assert project.told("sum") == "set 6"
        # The application's soft and hard limits, of one and two seconds, have no hold on our load.
        host.send_task("chores.sum", [(4, 5)], countdown=3)
        assert project.told("sum") == "tuple 9"
        project.open("slow")
        project.warm("boards.slow", 7, value=7)

        # Another failure than a lost child is acknowledged, not handed out again.
        project.send(project.claim("boards.broken", 1))
        worker.wait_for_line("raised expected: LoadFailed")
        project.send(project.claim("boards.slow", 8))
        project.open("slow")
        project.warm("boards.slow", 8, value=8)
        assert project.counted("broken") == 1


def test_a_host_that_takes_no_json_is_told_at_start(project: Project) -> None:
    """A worker of an application that refuses our messages ends with an error that says what to add."""
    conf = CONF | {"accept_content": ["pickle"]}
    project.write("celery", HOST.replace("{broker_url!r}", "'memory://'").replace("{conf!r}", repr(conf)))
    with project.celery("worker", "-P", "solo", name="refusing") as worker:
        assert worker.wait(30) != 0

        assert "accept_content" in worker.output()


def test_a_host_is_configured_when_it_likes(namespace: str) -> None:
    """Hosting queries neither reads the configuration of an application nor binds its tasks."""
    asked: list[str] = []

    class Late(Celery):
        def _load_config(self) -> Any:
            asked.append("its configuration")
            return super()._load_config()

    host = Late("late", set_as_current=False)
    add_queries(host, namespace)

    assert asked == []
    assert not host.finalized
    assert "boards.one" in host.tasks
