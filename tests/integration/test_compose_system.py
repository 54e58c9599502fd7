"""The services of docker-compose.yml at work, as processes: the flights come from PostgreSQL, warm."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg
import pytest

from tests.composed.files import server_arguments, services
from tests.composed.system import System, database_of, running
from warmer.testing import ChildProcess, PostgresServer, ValkeyServer

pytestmark = pytest.mark.timeout(400)  # loading 336,776 flights, and starting everything, on a busy machine

#: What says that a value was read from this very PostgreSQL: no flight of the data set is so late.
MARK = 7777
READ = """
from datetime import date
from tasks.boards import departures
entry = departures.bind("JFK", date(2013, 7, 4)).entry()
print(len(entry.value), sum(line.delay_min == 7777 for line in entry.value))
"""


@dataclass
class Running:
    """The system, and its processes by name."""

    system: System
    children: dict[str, ChildProcess]
    pg_url: str


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All services, healthy. The PostgreSQL is their own: its users are not another test process's."""
    postgres = PostgresServer.kept(tmp_path_factory.mktemp("postgres"), os.getpid())
    composed = services({"FLOWER_PASSWORD": "of the test", "POSTGRES_PASSWORD": "secret"})
    arguments = server_arguments(composed["valkey"])
    with (
        ValkeyServer(args=arguments) as server,
        postgres.database() as pg_url,
        database_of(composed["postgres"], postgres.admin_url, pg_url) as database_url,
    ):
        folder = tmp_path_factory.mktemp("app")
        system = System(composed, folder, server.url, database_url, _free_port())
        with running(system) as children:
            for name, child in children.items():
                system.healthy(name, child)
            yield Running(system, children, pg_url)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_each_service_runs_and_passes_its_own_health_check(up: Running) -> None:
    """A service's command keeps running, and its health check says in one line what it has seen."""
    for name, child in up.children.items():
        said = up.system.healthy(name, child)
        assert said.lower().startswith(name)
        assert "\n" not in said


def test_an_entry_warmed_by_hand_holds_what_postgres_holds(up: Running) -> None:
    """The command of the README warms a board in the worker, from the flights in PostgreSQL."""
    board = "origin = 'JFK' AND day = DATE '2013-07-04'"
    first = f"(SELECT min(id) FROM flights WHERE {board})"
    with psycopg.connect(up.pg_url) as connection:
        marked = connection.execute(f"UPDATE flights SET dep_delay_min = {MARK} WHERE id = {first}")
        rows = connection.execute(f"SELECT count(*) FROM flights WHERE {board}").fetchone()
    assert marked.rowcount == 1

    warmed = up.system.run("worker", "warmer", "warm", "departures", "origin=JFK", "day=2013-07-04")
    assert warmed.returncode == 0, warmed.stdout + warmed.stderr + up.children["worker"].tail()

    read = up.system.run("worker", "python", "-c", READ)
    assert rows is not None
    assert read.stdout.split() == [str(rows[0]), "1"], read.stderr
    assert not (up.system.folder / ".warmer").exists()


def test_status_shows_the_scheduler_and_the_policy(up: Running) -> None:
    """`warmer status` in a service's environment sees the scheduler and the server's eviction policy."""
    status = up.system.run("worker", "warmer", "status")
    assert status.returncode == 0, status.stderr
    assert "1 alive" in status.stdout
    assert "volatile-lru" in status.stdout


def test_flower_lets_in_who_knows_the_password(up: Running) -> None:
    """Flower's page asks for the password of the environment."""
    assert _reply_of_flower(up, "of the test") == 200
    assert _reply_of_flower(up, "another") == 401
    assert _reply_of_flower(up, None) == 401


def _reply_of_flower(up: Running, password: str | None) -> int:
    headers = {}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"warmer:{password}".encode()).decode()
    with closing(http.client.HTTPConnection("127.0.0.1", up.system.flower_port, timeout=20)) as connection:
        connection.request("GET", "/workers", headers=headers)
        return connection.getresponse().status


def test_a_service_that_is_stopped_ends_well_within_its_grace_period(up: Running) -> None:
    """SIGTERM, which is what the engine sends, ends a second one of each before the engine would kill it."""
    for name, ready in (("worker", r"ready\.$"), ("scheduler", r"queries, \d+ plans")):
        grace_s = int(up.system.services[name].settings["stop_grace_period"].removesuffix("s"))
        with up.system.start(name) as child:
            child.wait_for_line(ready, timeout_s=90)
            asked_at = time.monotonic()
            assert child.terminate(grace_s) == 0, child.tail()
            assert time.monotonic() - asked_at < grace_s
