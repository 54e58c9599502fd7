"""The command line and the project that it finds, or does not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commanding.projects import write_numbers, write_tasks
from tests.commanding.session import clean_environment, say
from warmer import Warmer
from warmer.runs import recent
from warmer.testing import ValkeyServer, python, wait_until

_ONE_QUERY = """
from warmer import Warmer

shop = Warmer("shop")


@shop.cached(ttl={ttl}, name="one")
def one(n: int) -> int:
    return n
"""


def test_help_needs_no_project_and_none_of_what_services_run_on(tmp_path: Path) -> None:
    """`--help` lists the commands in groups, and imports neither Celery nor SQLAlchemy, so it is quick."""
    lookup = """
import sys
from warmer.cli import main
sys.argv = ["warmer", "--help"]
try:
    main()
finally:
    print({"celery", "sqlalchemy", "apscheduler", "flower", "tornado"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", lookup], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip

    assert done.stderr == "set()\n"
    commands = re.findall(r"^│ (\w+) ", done.stdout, re.MULTILINE)
    assert commands[:12] == [
        "init", "up", "status", "inspect", "verify", "audit", "plans", "warm", "run", "invalidate", "db",
        "worker",
    ]  # fmt: skip


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    """`--version` says what is installed."""
    assert re.fullmatch(r"warmer \d+\.\d+\.\d+\S*\n", say(tmp_path, "--version").out)


def test_a_folder_without_a_project_says_what_to_do(tmp_path: Path) -> None:
    """Without a tasks package, `up` names the folder and `warmer init`, and starts nothing."""
    said = say(tmp_path, "up")

    assert (said.code, said.out) == (1, "")
    assert f"there is no module 'tasks' in {tmp_path}" in said.err
    assert "warmer init DIR" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_module_that_does_not_import_shows_its_own_traceback(tmp_path: Path) -> None:
    """The traceback begins in the project: no frame of ours, or of Python's import machinery, is in it."""
    write_tasks(tmp_path, _ONE_QUERY.format(ttl=60), orders="def f():\n    return 1 / 0\n\n\nf()\n")

    said = say(tmp_path, "plans")

    assert (said.code, said.out) == (1, "")
    frames = re.findall(r'File "([^"]+)", line (\d+)', said.err)
    orders = str(tmp_path / "tasks" / "orders.py")
    assert frames == [(orders, "5"), (orders, "2")]
    assert "ZeroDivisionError: division by zero" in said.err
    assert said.err.endswith("warmer: the project does not import, so nothing was started or changed.\n")


def test_a_driver_that_is_missing_is_named_with_its_extra(tmp_path: Path) -> None:
    """A URL of PostgreSQL imports psycopg where the engine is made: who lacks it is told what to install."""
    missing = "raise ModuleNotFoundError(\"No module named 'psycopg'\", name='psycopg')\n"
    write_tasks(tmp_path, _ONE_QUERY.format(ttl=60), db=missing)

    assert say(tmp_path, "db", "check").err.endswith("Install it with `pip install 'warmer[postgres]'`.\n")


def test_debug_shows_the_whole_way(tmp_path: Path) -> None:
    """With --debug, wherever it stands on the line, the full traceback is there."""
    write_tasks(tmp_path, _ONE_QUERY.format(ttl=60))

    for words in (("--debug", "warm", "two"), ("warm", "two", "--debug")):
        said = say(tmp_path, *words)
        assert said.code == 1
        assert said.err.startswith("Traceback")
        assert "UnknownQuery" in said.err
    assert "Traceback" not in say(tmp_path, "warm", "two").err


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    """Nothing of ours stands before the line that Python can't read."""
    write_tasks(tmp_path, _ONE_QUERY.format(ttl=60), orders="def f(:\n    pass\n")

    said = say(tmp_path, "plans")

    assert said.code == 1
    assert re.findall(r'File "([^"]+)"', said.err) == [str(tmp_path / "tasks" / "orders.py")]
    assert "SyntaxError" in said.err


def test_a_wrong_declaration_is_told_with_its_place(tmp_path: Path) -> None:
    """An error of ours that a module of the project causes names the file and the line."""
    write_tasks(tmp_path, _ONE_QUERY.format(ttl=0))

    said = say(tmp_path, "plans")

    assert said.code == 1
    assert "ttl" in said.err
    assert f"  at {tmp_path / 'tasks' / '__init__.py'}:" in said.err
    assert "Traceback" not in said.err


def test_a_package_that_is_not_ours_is_told(tmp_path: Path) -> None:
    """A module named tasks that holds no namespace is somebody else's."""
    write_tasks(tmp_path, "x = 1\n")

    said = say(tmp_path, "status")

    assert said.code == 1
    assert "is not a Warmer project" in said.err


@pytest.mark.parametrize("words", [["-A", "flights", "plans"], ["plans", "--app", "flights"]])
def test_another_package_can_be_named_before_or_after_the_command(tmp_path: Path, words: list[str]) -> None:
    """`-A` names the project as it does for Celery; WARMER_APP does so, too."""
    write_numbers(tmp_path)
    (tmp_path / "tasks").rename(tmp_path / "flights")

    assert "hourly" in say(tmp_path, *words).out
    assert "hourly" in say(tmp_path, "plans", env={"WARMER_APP": "flights"}).out
    assert say(tmp_path, "plans").code == 1


def test_what_modules_print_is_no_result(tmp_path: Path) -> None:
    """stdout is for the command's own result, so that its JSON can be read, whatever a module prints."""
    write_numbers(tmp_path)

    said = say(tmp_path, "plans", "--json")

    assert {job["name"] for job in said.json} >= {"hourly", "broken", "sweep"}
    assert said.err == "this line of a user's module is no result\n"


def test_an_unknown_setting_is_told(tmp_path: Path) -> None:
    """A setting that does not exist is named, with what was probably meant."""
    write_numbers(tmp_path)

    said = say(tmp_path, "plans", env={"WARMER_REDIS_ULR": "redis://127.0.0.1"})

    assert said.code == 1
    assert "Did you mean WARMER_REDIS_URL" in said.err


def test_a_server_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    """Without a server, commands say so, with what to do, and nothing of readers' ways around it."""
    write_numbers(tmp_path)
    server = ValkeyServer()
    with server:
        pass
    gone = {"WARMER_REDIS_URL": server.url}

    for words in (["status"], ["warm", "double", "n=1"], ["invalidate", "double", "n=1"], ["run", "hourly"]):
        said = say(tmp_path, *words, env=gone)
        assert (said.code, said.out) == (1, "")
        assert "Connection refused" in said.err
        assert "reads load from the database" not in said.err
        assert "does not run any more" not in said.err


def test_an_address_that_is_out_of_date_is_told_as_such(tmp_path: Path) -> None:
    """Where `warmer up` has run and runs no more, commands say so; without it, they say to run it."""
    write_numbers(tmp_path)
    with ValkeyServer() as server:
        url = server.url
    (tmp_path / ".warmer").mkdir()
    (tmp_path / ".warmer" / "redis.url").write_text(url)

    said = say(tmp_path, "status")

    assert said.code == 1
    assert ".warmer/redis.url says, and it does not run any more" in said.err


def test_a_worker_hands_on_what_celery_refuses(tmp_path: Path) -> None:
    """A wrong option of Celery's is Celery's usage error, with its exit code."""
    write_numbers(tmp_path)

    said = say(tmp_path, "worker", "--no-such-option")

    assert said.code == 2
    assert "no-such-option" in said.err
    assert "Traceback" not in said.err


@pytest.fixture
def shop(redis_url: str) -> Iterator[Warmer]:
    """The namespace of the commands, as the test sees it."""
    shop = Warmer("shop", redis_url=redis_url)
    yield shop
    shop.close()


def test_ctrl_c_leaves_the_run_to_the_workers(tmp_path: Path, redis_url: str, shop: Warmer) -> None:
    """Whoever stops waiting is told the run's id, and that it goes on; the exit code is that of Ctrl-C."""
    write_numbers(tmp_path)
    words = ["-m", "warmer", "warm", "double", "n=1"]

    def waiting() -> str:
        """The run's id, once it has been waited for a while; the wait ends by itself after 5 s."""
        return next((run.id for run in recent(shop.runtime()) if run.progress.seconds > 1.5), "")

    with python(*words, cwd=tmp_path, env={"WARMER_REDIS_URL": redis_url}) as warming:
        run = wait_until(waiting, timeout_s=30)
        assert warming.interrupt() == 130
        assert f"no longer waiting; the run {run} goes on" in warming.output()


def test_a_warm_up_that_nobody_does_ends_its_wait(tmp_path: Path, redis_url: str) -> None:
    """Nobody takes it: the wait ends with what is missing, and the run stays queued."""
    write_numbers(tmp_path)

    said = say(tmp_path, "warm", "double", "n=1", "--json", env={"WARMER_REDIS_URL": redis_url})

    assert said.code == 1
    assert (said.json["total"], said.json["done"]) == (1, 0)
    assert "no scheduler" in said.err
