"""warmer.testing.plugin and the guards of our own tests, in test runs of their own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from warmer.testing import ChildProcess, python

_ROOT = Path(__file__).parents[2]

_OF_A_USER = """
import redis
from warmer.testing import wait_until
seen = set()

def check(url, broker_url, namespace):
    assert len({url, broker_url}) == 2
    assert namespace not in seen
    seen.add(namespace)
    print("USED", url, namespace)
    for address in (url, broker_url):
        client = redis.Redis.from_url(address)
        assert client.dbsize() == 0
        client.set("left", "behind")
        client.close()

def test_one(warmer_redis_url, warmer_broker_url, warmer_namespace):
    check(warmer_redis_url, warmer_broker_url, warmer_namespace)

test_two = test_three = test_four = test_five = test_six = test_seven = test_eight = test_nine = test_one
"""


def _run(folder: Path, *options: str, env: dict[str, str | None] | None = None) -> ChildProcess:
    return python(
        "-m", "pytest", folder, "-p", "no:cacheprovider", "-p", "no:randomly", *options, env=env, cwd=folder
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project: it has nothing but a test."""
    (tmp_path / "test_users.py").write_text(_OF_A_USER)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def test_a_users_tests_get_empty_databases_and_names_of_their_own(project: Path) -> None:
    """The fixtures work with nothing but the package installed, and the server is gone afterwards."""
    with _run(project, "-s") as run:
        assert run.wait(100) == 0, run.output()
        used = re.findall(r"USED (\S+):(\d+)/(\d+) (\S+)", run.output())
    assert len(used) == 9
    assert len({port for _, port, _, _ in used}) == 1
    assert len({namespace for *_, namespace in used}) == 9


def test_each_worker_of_a_parallel_run_has_a_server_and_names_of_its_own(project: Path) -> None:
    """Under pytest-xdist no two tests share a server's database or a namespace."""
    with _run(project, "-n", "2", "--dist", "each", "-rP") as run:
        assert run.wait(100) == 0, run.output()
        used = re.findall(r"USED (\S+):(\d+)/(\d+) (\S+)", run.output())
    assert len(used) == 18
    assert len({port for _, port, _, _ in used}) == 2
    assert len({namespace for *_, namespace in used}) == 18


def test_a_run_that_uses_no_fixture_starts_nothing(tmp_path: Path) -> None:
    """Having Warmer installed costs other test suites no process and no import of a driver."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_other.py").write_text(
        "import sys, threading, pathlib\n"
        "def test_nothing():\n"
        "    costly = {'warmer.testing.servers', 'warmer.testing.processes', 'celery', 'sqlalchemy'}\n"
        "    assert sorted(costly & set(sys.modules)) == []\n"
        "    assert threading.active_count() == 1\n"
    )
    with _run(tmp_path) as run:
        assert run.wait(100) == 0, run.output()


def test_a_users_own_fixture_of_the_same_name_wins(tmp_path: Path) -> None:
    """A project may point the fixtures at a server of its choice."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def warmer_redis_url():\n"
        "    return 'redis://mine'\n"
        "def test_it(warmer_redis_url):\n"
        "    assert warmer_redis_url == 'redis://mine'\n"
    )
    with _run(tmp_path) as run:
        assert run.wait(100) == 0, run.output()


_GUARDED = """
import os, socket, subprocess, sys
import pytest

def test_connects():
    socket.create_connection(("127.0.0.1", 1))

def test_detaches():
    subprocess.run(["sh", "-c", "sleep 500 &"], start_new_session=True)

def test_after():
    assert "WARMER_REDIS_URL" not in os.environ
    assert os.environ["WARMER_RACE_SCALE"] == "2"
"""


_LEAKING = """
from tests.guarding.threads import left_behind
from warmer import Warmer

flights = Warmer("left", redis_url="redis://127.0.0.1:1/0")

def test_leaks():
    flights.runtime()

def test_after():
    assert left_behind(frozenset()) == []
"""


@pytest.fixture
def guarded(tmp_path: Path) -> Path:
    """A copy of our guards over a test folder with the forbidden things in it."""
    tests = tmp_path / "tests"
    for folder in ("unit", "integration", "guarding"):
        (tests / folder).mkdir(parents=True)
    for source in (_ROOT / "tests" / "guarding").glob("*.py"):
        (tests / "guarding" / source.name).write_text(source.read_text())
    for name in ("conftest.py", "patience.py"):
        (tests / name).write_text((_ROOT / "tests" / name).read_text())
    (tests / "unit" / "test_guarded.py").write_text(_GUARDED)
    (tests / "integration" / "test_leaking.py").write_text(_LEAKING)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = --import-mode=importlib\n")
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_our_guards_stop_connections_leaks_and_foreign_settings(guarded: Path) -> None:
    """A unit test that connects, one that leaves a process and one that leaves a namespace open fail; what
    they leave is ended, and the shell's settings are not seen.
    """
    env: dict[str, str | None] = {
        "WARMER_REDIS_URL": "redis://production",
        "WARMER_RACE_SCALE": "2",
        "WARMER_TEST_ENDING_S": "2",
    }
    with _run(guarded, env=env) as run:
        assert run.wait(100) == 1
        report = run.output()
    assert "FAILED tests/unit/test_guarded.py::test_connects" in report
    assert "this test tried to connect to ('127.0.0.1', 1)" in report
    assert "ERROR tests/unit/test_guarded.py::test_detaches" in report
    assert re.search(r"left these processes behind \(now killed\):\n\d+: sleep 500", report)
    assert "ERROR tests/integration/test_leaking.py::test_leaks" in report
    assert "1 failed, 4 passed, 2 errors" in report
