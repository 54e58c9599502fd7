"""`warmer health` against real workers, schedulers and Flower: well, paused, gone, elsewhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import redis
from typer.testing import CliRunner

import warmer.cli.health  # noqa: F401 - adds its commands
from tests.working.project import Project
from tests.working.scheduling import scheduler
from warmer.cli.app import app
from warmer.core.keys import keyspace
from warmer.testing import ChildProcess, ValkeyServer, python

pytestmark = pytest.mark.timeout(300)

HOST = socket.gethostname()
QUERIES = """
    from {package} import flights


    @flights.cached(ttl=60, name="boards.one", version="1")
    def one(of: int) -> int:
        return of
"""


@dataclass(frozen=True)
class Said:
    """What a check said, and its exit code."""

    code: int
    text: str
    took_s: float


def ask(*command: str) -> Said:
    """Run `warmer health ...` in this process."""
    began = time.monotonic()
    done = CliRunner().invoke(app, ["health", *command])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.output.count("\n") == 1, done.output
    return Said(done.exit_code, done.output.strip(), time.monotonic() - began)


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server that tests may pause."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def project(server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with one query in two shards; nothing of it runs."""
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    with Project(tmp_path_factory.mktemp("well"), "well", server.url, server.url, shards=2) as project:
        project.write("boards", QUERIES)
        project.flights.close()  # found, and its folder on the path: checks look for it like any command
        yield project


@contextmanager
def worker(project: Project, *options: str, name: str = "first") -> Iterator[ChildProcess]:
    """A worker of this host that is ready."""
    command = ("worker", "-P", "threads", "-c", "1", "-l", "info", "-n", f"{name}@%h", *options)
    with project.celery(*command, name=name) as child:
        child.wait_for_line(r"ready\.$", timeout_s=90)
        yield child


def test_a_worker_that_works_is_well_and_one_that_is_stopped_is_not(project: Project) -> None:
    """A worker is well while it answers and takes messages; paused, gone or idle on purpose, it is not."""
    health = ("worker", "--app", project.package)
    with worker(project) as child:
        well = ask(*health)
        assert (well.code, well.text) == (0, f"worker first@{HOST} takes from well")
        assert ask(*health, "--name", "first").code == 0
        other = ask(*health, "--name", "second", "--timeout", "1")
        assert (other.code, other.text) == (1, f"warmer: no answer from worker second@{HOST} within 1 s")

        child.pause()
        paused = ask(*health, "--timeout", "1")
        assert (paused.code, "no answer from worker" in paused.text) == (1, True)
        child.resume()
        assert ask(*health).code == 0

        project.flights.celery.control.cancel_consumer("well", reply=True)
        idle = ask(*health)
        assert (idle.code, idle.text) == (
            1, f"warmer: worker first@{HOST} takes from nothing, and not from well",
        )  # fmt: skip
    assert ask(*health, "--timeout", "1").code == 1


def test_a_worker_of_another_host_does_not_count(project: Project) -> None:
    """Who answers from elsewhere says nothing about this host."""
    with project.worker("threads", 1):  # it calls itself ...@here
        found = ask("worker", "--app", project.package, "--timeout", "1")
    assert (found.code, found.text) == (1, f"warmer: no answer from worker *@{HOST} within 1 s")


def test_asking_leaves_nothing_at_the_broker(project: Project) -> None:
    """A check that gets no answer leaves no key behind, however often it is made."""
    with redis.Redis.from_url(project.broker_url) as client:
        ask("worker", "--app", project.package, "--timeout", "0.3")
        before = sorted(client.scan_iter())
        for _ in range(3):
            ask("worker", "--app", project.package, "--timeout", "0.3")
        assert sorted(client.scan_iter()) == before


def test_a_scheduler_that_sweeps_is_well_and_one_that_does_not_is_not(project: Project) -> None:
    """A scheduler is well while it sweeps; paused for longer than a few seconds, or gone, it is not."""
    health = ("scheduler", "--app", project.package)
    assert ask(*health).text.endswith("none in the last minute")
    with scheduler(project) as child:
        well = ask(*health)
        assert well.code == 0
        assert well.text.startswith(f"scheduler {HOST}:{child.pid}:")

        child.pause()
        _age_marks(project, 6)
        paused = ask(*health)
        assert paused.code == 1
        assert f"the last to do so was {HOST}:{child.pid}:" in paused.text
        child.resume()
    assert ask(*health).code == 1


def _age_marks(project: Project, seconds: int) -> None:
    """Make every scheduler's last sweep so much older."""
    with redis.Redis.from_url(project.redis_url) as client:
        for shard in range(2):
            marks = keyspace("well", shard).schedulers
            for name, at in client.zrange(marks, 0, -1, withscores=True):
                client.zadd(marks, {name: at - seconds * 1e6})


def test_each_shard_must_have_been_swept(project: Project) -> None:
    """A scheduler that has not looked at one of the shards lately is not well."""
    with redis.Redis.from_url(project.redis_url) as client:
        for shard, age_s in ((0, 1), (1, 20)):
            seconds, micros = client.time()
            at_us = (int(seconds) - age_s) * 1_000_000 + int(micros)
            client.zadd(keyspace("well", shard).schedulers, {f"{HOST}:1:abc": at_us})
    found = ask("scheduler", "--app", project.package)
    assert (found.code, "has swept shard 1 in 5 s" in found.text) == (1, True)


def test_a_scheduler_of_another_host_does_not_count(project: Project) -> None:
    """Who sweeps elsewhere, even on a host whose name begins alike, says nothing about this host."""
    with redis.Redis.from_url(project.redis_url) as client:
        for shard in range(2):
            seconds, _ = client.time()
            client.zadd(keyspace("well", shard).schedulers, {f"{HOST}2:1:abc": int(seconds) * 1_000_000})
    assert ask("scheduler", "--app", project.package).code == 1


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_a_server_that_hangs_is_no_answer_in_time(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """With the server paused, the check ends in its time with 1."""
    with ValkeyServer() as hangs:
        with Project(tmp_path_factory.mktemp("x"), "hangs", hangs.url, hangs.url) as project:
            project.write("boards", QUERIES)
            project.flights.close()
            hangs.pause()
            found = ask(name, "--app", project.package, "--timeout", "2")
        hangs.kill()
    assert found.code == 1
    assert found.took_s < 10


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_a_server_that_is_gone_is_named(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """With nothing at the address, the check says so at once."""
    with ValkeyServer() as gone, Project(tmp_path_factory.mktemp("x"), "gone", gone.url, gone.url) as project:
        project.write("boards", QUERIES)
        project.flights.close()
        gone.stop()
        found = ask(name, "--app", project.package)
    assert (found.code, "can't be reached" in found.text) == (1, True)
    assert str(gone.port) in found.text


def test_flower_that_answers_is_well(project: Project) -> None:
    """Flower is well when its page answers; no password is needed for that."""
    port = _free_port()
    env = {"FLOWER_BASIC_AUTH": "warmer:secret"}
    command = ("-m", "celery", "-A", project.package, "flower", f"--port={port}", "--address=127.0.0.1")
    with python(*command, cwd=project.folder, env=env, name="flower") as child:
        child.wait_for_line("Visit me at", timeout_s=90)
        assert ask("flower", "--port", str(port)).text == f"Flower answers at 127.0.0.1:{port}"
        child.pause()
        paused = ask("flower", "--port", str(port), "--timeout", "1")
        assert (paused.code, paused.took_s < 10) == (1, True)
        child.resume()
    found = ask("flower", "--port", str(port))
    assert (found.code, f"nothing answers at 127.0.0.1:{port}" in found.text) == (1, True)


def test_what_is_not_flower_is_not_taken_for_it(server: ValkeyServer) -> None:
    """Another server at the port is no Flower."""
    assert ask("flower", "--port", str(server.port)).code == 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
