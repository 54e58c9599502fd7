"""The command line on a namespace with a real worker and scheduler."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commanding.projects import write_numbers
from tests.commanding.session import Session, clean_environment
from warmer.testing import ChildProcess, ValkeyServer, python


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder."""
    return write_numbers(tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    """A server for it alone."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="module")
def services(folder: Path, server: ValkeyServer) -> Iterator[tuple[ChildProcess, ChildProcess]]:
    """A worker and a scheduler, as the commands start them."""
    env = {"WARMER_REDIS_URL": server.url}
    worker = python("-m", "warmer", "worker", "--name", "one", cwd=folder, env=env)
    scheduler = python("-m", "warmer", "scheduler", cwd=folder, env=env)
    with worker, scheduler:
        worker.wait_for_line(r"one@.* ready\.", timeout_s=60)
        scheduler.wait_for_line(r"INFO/MainProcess\] scheduler .*: 2 queries, 2 plans", timeout_s=60)
        yield worker, scheduler


@pytest.fixture(scope="module")
def warmer(folder: Path, server: ValkeyServer, services: object) -> Iterator[Session]:
    """Somebody at a shell, with everything up."""
    with Session(folder, {"WARMER_REDIS_URL": server.url}) as session:
        yield session


def _entry(warmer: Session, *params: str) -> dict[str, object]:
    report: dict[str, object] = warmer("inspect", "double", *params, "--json").json
    return report


def test_warm_loads_every_combination_in_the_worker(
    warmer: Session, services: tuple[ChildProcess, ChildProcess]
) -> None:
    """`warmer warm` waits until all is warm, and the worker says of each entry what became of it."""
    said = warmer("warm", "double", "n=1..3", "parity=odd,even")

    assert said.code == 0, said.err
    assert said.out.startswith("6 entries warm, 0 failed")
    assert _entry(warmer, "n=3", "parity=even")["state"] == "fresh"
    services[0].wait_for_line(r"double\(3, even\): loaded, \d+ ms$")
    assert not re.search(r"double\[.*succeeded in", services[0].output())


def test_warm_reads_days(warmer: Session) -> None:
    """A range of days is as many entries."""
    said = warmer("warm", "days.named", "day=2025-02-27..2025-03-02", "--json")

    assert said.code == 0
    assert {name: said.json[name] for name in ("state", "total", "done", "failed", "failures")} == {
        "state": "done", "total": 4, "done": 4, "failed": 0, "failures": [],
    }  # fmt: skip


def test_what_could_not_be_warmed_is_listed(warmer: Session) -> None:
    """Failures are told with their entry and cause, brackets and all; the exit code is 1; JSON stays JSON."""
    said = warmer("warm", "double", "n=12..14")

    assert said.code == 1
    assert said.out.startswith("2 entries warm, 1 failed")
    assert "  numbers.double(13,any): ValueError: no [bold] luck\n" in said.err
    assert "1 of 3 entries were not warmed" in said.err
    as_json = warmer("warm", "double", "n=13", "--json")
    assert as_json.code == 1
    assert as_json.json["failures"][0]["cause"] == "ValueError: no [bold] luck"


def test_a_failing_entry_shows_in_status_and_inspect(warmer: Session) -> None:
    """Whoever looks finds the entry, the cause and how often it failed."""
    warmer("warm", "double", "n=13")

    status = warmer("status").out
    assert "numbers.double(13,any) failed " in status
    assert ": ValueError: no [bold] luck" in status
    query = next(
        one for one in warmer("status", "--json").json["queries"] if one["query"] == "numbers.double"
    )
    assert query["failing"][0]["params"] == "13,any"
    assert "ValueError: no [bold] luck" in warmer("inspect", "double", "n=13").out


def test_warm_stale_takes_what_failed_and_what_was_dropped(warmer: Session) -> None:
    """`--stale` finds by itself what is not warm, and says so when there is nothing."""
    warmer("warm", "double", "n=13")
    again = warmer("warm", "double", "--stale", "--json")
    warmer("invalidate", "days.named", "--all")
    nothing = warmer("warm", "days.named", "--stale")

    assert (again.code, again.json["failed"]) == (1, 1)
    assert (nothing.code, nothing.out) == (0, "nothing is stale, due or failing\n")
    assert warmer("warm", "days.named", "--stale", "--json").json["total"] == 0


def test_warm_without_waiting_names_the_run(warmer: Session) -> None:
    """`--no-wait` comes back at once with the run's id."""
    assert warmer("warm", "double", "n=1", "--no-wait").out.startswith("queued as run ")
    assert len(warmer("warm", "double", "n=1", "--no-wait", "--json").json["run"]) == 12


def test_a_wait_that_is_over_says_that_the_run_goes_on(warmer: Session) -> None:
    """With `--timeout`, what is not done by then is no failure of the run, and the exit code is 1."""
    said = warmer("warm", "double", "n=1..300", "--timeout", "0")

    assert said.code == 1
    assert "It goes on." in said.err


def test_a_plan_is_run_now(warmer: Session) -> None:
    """`warmer run` waits for what the plan yields."""
    said = warmer("run", "hourly")

    assert (said.code, said.out[:26]) == (0, "5 entries warm, 0 failed, "), said.err
    assert warmer("status", "--json").json["runs"][0]["plan"] == "hourly"
    assert "plan hourly, by hand" in warmer("status").out


def test_a_plan_that_raises_is_told(warmer: Session) -> None:
    """What the plan raised is quoted, and what it yielded before is warm."""
    said = warmer("run", "broken")

    assert said.code == 1
    assert said.out.startswith("1 entry warm, 0 failed")
    assert "RuntimeError: out of [numbers]" in said.err


def test_plans_are_listed_with_the_engines_own_jobs(warmer: Session) -> None:
    """One line of each plan's docstring, its next firing, and what runs all the time."""
    said = warmer("plans")
    jobs = {job["name"]: job for job in warmer("plans", "--json").json}

    assert "The first numbers. At most 100 loads a second." in said.out
    assert "does not show" not in said.out
    assert (jobs["hourly"]["kind"], jobs["hourly"]["when"], jobs["hourly"]["rate"]) == (
        "plan", "every 3600 s", 100,
    )  # fmt: skip
    assert jobs["hourly"]["next"].endswith("+00:00")
    assert jobs["sweep"]["kind"] == "engine"
    assert jobs["reap"]["next"] is None


def test_status_counts_what_is_there(warmer: Session) -> None:
    """Entries by query, the server and who is alive, for people and as JSON."""
    warmer("warm", "days.named", "day=2025-03-01")

    said, report = warmer("status"), warmer("status", "--json").json

    assert said.out.startswith("shop on valkey ")
    assert "schedulers: 1 alive" in said.out
    assert report["namespace"] == "shop"
    assert len(report["schedulers"]) == 1
    days = next(one for one in report["queries"] if one["query"] == "days.named")
    assert days["entries"] >= 1
    assert days["cost_s"] < 5


def test_inspect_shows_an_entry_and_its_names(warmer: Session) -> None:
    """State, age, what can drop it and when something did; one that is not there is no error."""
    warmer("warm", "double", "n=21", "parity=odd")

    said = warmer("inspect", "numbers.double", "n=21", "parity=odd").out
    absent = warmer("inspect", "double", "n=987")

    assert "w:{shop:0}:e:numbers.double@1:21,odd" in said
    assert "parity:odd  never invalidated" in said
    assert (absent.code, "missing" in absent.out) == (0, True)


@pytest.mark.parametrize(
    ("words", "removed", "left"),
    [
        (["double", "n=41", "parity=x"], 1, [42, 43]),
        (["double", "parity=x", "--where"], 3, []),
        (["double", "--all"], None, []),
        (["--tag", "parity:x"], 3, []),
        (["double", "n=40", "parity=x"], 0, [41, 42, 43]),
    ],
)
def test_invalidate_drops_what_is_named(
    warmer: Session, words: list[str], removed: int | None, left: list[int]
) -> None:
    """An entry, those that share a param, a query's, a tag's: what is named is gone, the rest stays."""
    warmer("warm", "double", "n=41..43", "parity=x")

    said = warmer("invalidate", *words, "--json")

    assert said.code == 0, said.err
    assert removed is None or said.json == {"removed": removed}
    states = {n: _entry(warmer, f"n={n}", "parity=x")["state"] for n in (41, 42, 43)}
    assert [n for n, state in states.items() if state == "fresh"] == left


def test_an_invalidation_shows_at_its_entry(warmer: Session) -> None:
    """`inspect` says how long ago an entry's names were hit."""
    warmer("invalidate", "double", "n=55")

    said = warmer("inspect", "double", "n=55").out
    names = _entry(warmer, "n=55")["names"]

    assert "55,any  invalidated " in said
    assert isinstance(names, dict)
    assert 0 <= names["e:numbers.double:55,any"] < 60


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["warm", "dubble", "n=1"], 1, "Did you mean 'numbers.double'"),
        (["warm", "double", "m=1"], 1, "has no param 'm'"),
        (["warm", "double", "n=x"], 1, "expected n to be int, got: 'x'"),
        (["warm", "double"], 1, "(n: int, parity: str = 'any'): missing 1 required positional argument: 'n'"),
        (["warm", "double", "3"], 1, "'3' is not of the form param=value"),
        (["warm", "double", "n=1", "--stale"], 2, "--stale"),
        (["warm", "double", "--speed", "9"], 2, "--speed"),
        (["warm"], 2, "QUERY"),
        (["run", "yearly"], 1, "no plan 'yearly'"),
        (["inspect", "double"], 1, "missing 1 required positional argument: 'n'"),
        (["inspect", "double", "n=1,2"], 1, "expected n to be int"),
        (["invalidate"], 2, "QUERY"),
        (["invalidate", "double"], 1, "missing 1 required positional argument: 'n'"),
        (["invalidate", "double"], 1, "With --all, every entry of the query goes."),
        (["invalidate", "double", "parity=x"], 1, "With --where, all entries with these values go."),
        (["invalidate", "double", "n=[1]", "--where"], 1, "expected n to be int, got: '[1]'"),
        (["invalidate", "double", "--where"], 2, "--where"),
        (["invalidate", "double", "n=1", "--all"], 2, "--all"),
        (["invalidate", "double", "--tag", "x"], 2, "--tag"),
        (["plans", "hourly"], 2, "hourly"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_what_can_not_be_meant_is_told_without_a_traceback(
    warmer: Session, words: list[str], code: int, told: str
) -> None:
    """Exit 1 for what names nothing that is there, 2 for a wrong form; the message says what, and no more."""
    said = warmer(*words)

    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert "Traceback" not in said.err


def test_queries_that_are_declared_are_celerys_tasks(
    folder: Path, services: object, server: ValkeyServer
) -> None:
    """`celery -A tasks inspect registered` lists each query by its name."""
    (folder / "tasks" / "celery.py").write_text("from tasks import shop\n\napp = shop.celery\n")
    env = clean_environment({"WARMER_REDIS_URL": server.url})

    with python(
        "-m", "celery", "-A", "tasks", "inspect", "registered", "--json", cwd=folder, env=env
    ) as celery:
        assert celery.wait(60) == 0
        found = json.loads(celery.output()[celery.output().index("{") :].splitlines()[0])

    names = {task.partition(" ")[0] for task in next(iter(found.values()))}
    assert names == {"numbers.double", "days.named", "warmer.run.shop"}
