"""`warmer up`: everything in the foreground, and nothing left behind."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.commanding.projects import write_numbers
from tests.commanding.session import say
from warmer.cli.init import write_project
from warmer.testing import ChildProcess, ValkeyServer, python, wait_until

UP = r"^up\. Ctrl-C stops everything\."
START_S = 90.0


@contextmanager
def _up(folder: Path, *options: str, env: dict[str, str | None] | None = None) -> Iterator[ChildProcess]:
    """`warmer up` in a folder, once all of it is up; every process of it has ended afterwards."""
    child = python("-m", "warmer", "up", *options, cwd=folder, env=env)
    with child:
        child.wait_for_line(UP, timeout_s=START_S)
        family = _family(child)
        yield child
    _all_end(family)


def _family(child: ChildProcess) -> list[psutil.Process]:
    """Every process below it."""
    found: list[psutil.Process] = psutil.Process(child.pid).children(recursive=True)
    return found


def _all_end(family: list[psutil.Process]) -> None:
    """Wait until none of them runs any more."""
    wait_until(lambda: not [p for p in family if _alive(p)], timeout_s=15, description=lambda: str(family))


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _named(family: list[psutil.Process], command: str) -> psutil.Process:
    """The one whose command line has this word."""
    return next(process for process in family if command in process.cmdline())


def _entry(folder: Path, *params: str) -> dict[str, object]:
    report: dict[str, object] = say(folder, "inspect", *params, "--json").json
    return report


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A project without a database."""
    return write_numbers(tmp_path / "numbers")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, ChildProcess]]:
    """A project's folder and its `up`, for tests that leave both as they are."""
    folder = write_numbers(tmp_path_factory.mktemp("running") / "numbers")
    with _up(folder) as up:
        yield folder, up


def test_a_first_project_comes_up_and_warms(tmp_path: Path) -> None:
    """From `init` to warm entries: server, worker, scheduler and Flower are there, and their lines told."""
    shop = tmp_path / "shop"
    write_project(shop)

    with _up(shop) as up:
        assert say(shop, "warm", "sales_of", "region=north,south", "month=1..2").code == 0
        up.wait_for_line(r"^\d\d:\d\d:\d\d worker    │ sales_of\(north, 1\): loaded, \d+ ms$")
        assert say(shop, "run", "morning", "--json").json["done"] == 36
        report = say(shop, "status", "--json").json
        assert len(report["schedulers"]) == 1
        assert report["policy"] == "noeviction"
        page, password = _flower(up)
        tasks = json.loads(_get(f"{page}/api/tasks", password))
        assert {task["name"] for task in tasks.values()} >= {"sales_of"}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            _get(page, "another")
        told = up.output()
    assert up.returncode == 0
    assert "Traceback" not in told
    assert "overcommit" not in told
    with sqlite3.connect(shop / "shop.db") as database:
        assert database.execute("SELECT count(*) FROM orders").fetchone() == (20_000,)
    database.close()


def _flower(up: ChildProcess) -> tuple[str, str]:
    """The page's address and its password."""
    told = up.wait_for_line(r"^Flower at (http://127\.0\.0\.1:\d+)  user warmer, password (\S+)$")
    return told[1], told[2]


def _get(url: str, password: str) -> bytes:
    manager = urllib.request.HTTPPasswordMgrWithPriorAuth()
    manager.add_password(None, url, "warmer", password, is_authenticated=True)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(manager)
    )
    with opener.open(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def test_the_passwords_are_on_no_command_line(running: tuple[Path, ChildProcess]) -> None:
    """Flower's and the server's are among no arguments, and files with them are their owner's only."""
    folder, up = running
    _, password = _flower(up)
    secret = urlsplit((folder / ".warmer" / "redis.url").read_text()).password or ""
    lines = [" ".join(process.cmdline()) for process in _family(up)]
    modes = {
        stat.S_IMODE((folder / ".warmer" / name).stat().st_mode) for name in ("redis.url", "valkey.conf")
    }

    assert len(secret) == 32
    assert secret not in up.output()
    assert not [line for line in lines if password in line or secret in line]
    assert modes == {0o600}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_of_it(numbers: Path, number: int) -> None:
    """Ctrl-C and a closed terminal end every process in order, and the exit code is 0."""
    with _up(numbers, "--no-flower") as up:
        family = _family(up)
        up.signal(number)
        assert up.wait(40) == 0
        assert up.output().endswith("all stopped.\n")
        assert [process for process in family if _alive(process)] == []


def test_kill_9_takes_all_of_it_along(numbers: Path) -> None:
    """When `up` is killed, nothing of it lives on: no server, no worker, no child of a pool."""
    with _up(numbers, "--no-flower", "--pool", "prefork") as up:
        family = _family(up)
        assert len(family) >= 7  # server, scheduler, worker, and the children of its pool
        up.kill()
        _all_end(family)


def test_a_second_ctrl_c_does_not_wait(numbers: Path) -> None:
    """What hangs is not waited for once Ctrl-C is pressed again."""
    with _up(numbers, "--no-flower") as up:
        worker = _named(_family(up), "worker")
        worker.suspend()
        up.signal(signal.SIGINT)
        up.wait_for_line("^stopping")
        up.signal(signal.SIGINT)
        assert up.wait(10) == 0
        assert "worker did not stop in time and is killed" in up.output()


def test_a_child_that_dies_is_named_and_ends_the_rest(numbers: Path) -> None:
    """The others are stopped, and the message says who ended, how, and its last lines."""
    child = python("-m", "warmer", "up", "--no-flower", cwd=numbers)
    with child:
        child.wait_for_line(UP, timeout_s=START_S)
        family = _family(child)
        _named(family, "scheduler").kill()
        assert child.wait(40) == 1
        _all_end(family)
        assert re.search(r"(?m)^warmer: scheduler ended with code -9: scheduler .* 2 plans\.", child.output())


def test_a_worker_that_can_not_start_is_named_with_its_last_lines(numbers: Path) -> None:
    """An option that Celery refuses ends `up` with what Celery said."""
    child = python("-m", "warmer", "up", "--no-flower", "--pool", "gevent9", cwd=numbers)
    with child:
        assert child.wait(START_S) == 1
        told = child.output()

    assert "warmer: worker ended with code 2: " in told
    assert "The last lines of worker:" in told
    assert "gevent9" in told


def test_a_second_up_in_the_folder_is_refused(running: tuple[Path, ChildProcess]) -> None:
    """It names the first one's process and starts nothing; the first goes on."""
    folder, up = running

    second = say(folder, "up")

    assert second.code == 1
    assert f"warmer up already runs on {folder / '.warmer'} (process {up.pid})" in second.err
    assert up.running
    assert say(folder, "status").code == 0


def test_busy_ports_are_passed_over_unless_one_was_chosen(numbers: Path) -> None:
    """Without --port, Flower takes the next free one; a port that was chosen and is taken is an error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = say(numbers, "up", "--port", str(port))
        assert chosen.code == 1
        assert f"Flower can't listen on port {port}" in chosen.err
    with socket.socket() as usual, _maybe_bound(usual, 5555), _up(numbers) as up:
        assert _flower(up)[0] != "http://127.0.0.1:5555"


@contextmanager
def _maybe_bound(server: socket.socket, port: int) -> Iterator[None]:
    """Listen on a port, unless somebody else does already."""
    try:
        server.bind(("127.0.0.1", port))
        server.listen()
    except OSError:
        pass
    yield


def test_what_was_warm_is_loaded_again_after_a_restart(numbers: Path) -> None:
    """The data in .warmer/ outlives `up`: what was kept warm is reloaded by itself, at the same address."""
    tasks = numbers / "tasks" / "__init__.py"
    tasks.write_text(tasks.read_text().replace('version="1"', 'version="1", keep_warm=True'))
    address = numbers / ".warmer" / "redis.url"

    with _up(numbers, "--no-flower"):
        assert say(numbers, "warm", "double", "n=1").code == 0
        before = address.read_text()
    with _up(numbers, "--no-flower"):
        assert address.read_text() == before
        wait_until(lambda: _entry(numbers, "double", "n=1")["state"] == "fresh", timeout_s=30)


def test_scripts_find_the_server_by_themselves(running: tuple[Path, ChildProcess]) -> None:
    """A plain script in the folder reads through the embedded server, and imports no Celery for it."""
    folder, _ = running
    script = "import sys; from tasks import double; print(double(4), 'celery' in sys.modules)"

    with python("-c", script, cwd=folder) as reader:
        assert reader.wait(30) == 0
        assert reader.output().endswith("8 False\n")

    assert _entry(folder, "double", "n=4")["state"] == "fresh"


def test_a_server_of_ones_own_is_used(numbers: Path) -> None:
    """With WARMER_REDIS_URL, no server is started, and that one is left running."""
    with ValkeyServer() as server:
        with _up(numbers, "--no-flower", "--workers", "2", env={"WARMER_REDIS_URL": server.url}) as up:
            assert f"Redis at {server.url}" in up.output()
            assert not [p for p in _family(up) if "valkey" in p.name()]
            assert re.search(r"worker-1  │ worker-1@.* ready\.", up.output())
            assert re.search(r"worker-2  │ worker-2@.* ready\.", up.output())
        assert server.running
    assert not (numbers / ".warmer" / "redis.url").exists()


def test_a_load_that_fails_is_told_once(running: tuple[Path, ChildProcess]) -> None:
    """A load that raises shows its traceback, and in the worker's words that it failed."""
    folder, up = running

    say(folder, "warm", "double", "n=13")

    up.wait_for_line(r"│ double\(13, any\): failed$")
    assert up.output().count("ValueError: no [bold] luck") == 1
