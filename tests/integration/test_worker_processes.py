"""What a worker's processes begin and end with: the project's modules, forks, and what is given back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.working.project import Project
from warmer.testing import wait_until

QUERIES = """
    from {package} import flights
    from {package}.signs import count, tell, wait_for


    @flights.cached(ttl=600, name="number", version="1")
    def number(of: str) -> int:
        return count("number")


    @flights.cached(ttl=600, name="slow", version="1")
    def slow(of: str) -> int:
        tell("slow")
        wait_for("slow")
        return 1
"""


@pytest.fixture
def project(tmp_path: Path, namespace: str, redis_url: str, broker_url: str) -> Iterator[Project]:
    """A project with two queries."""
    with Project(tmp_path, namespace, redis_url, broker_url) as project:
        project.write("numbers", QUERIES)
        yield project


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_a_module_may_read_while_it_is_imported(project: Project, pool: str) -> None:
    """A read at import connects the worker's first process; forked ones make connections of their own."""
    project.write("zeal", "from {package}.numbers import number\n\nFIRST = number('at import')\n")

    with project.worker(pool, 2):
        project.send(*(project.claim("number", f"n{n}") for n in range(40)))
        for n in range(40):
            wait_until(lambda n=n: project.value("number", f"n{n}"), description=f"n{n} to be stored")  # type: ignore[misc]

    values = {project.value("number", f"n{n}") for n in range(40)}
    assert len(values) == 40


def test_children_may_be_spawned(project: Project) -> None:
    """A pool whose children are spawned and not forked (the default on macOS) finds every query, too."""
    project.write("celery", """
        from {package} import flights

        app = flights.celery
        app.conf.worker_pool_start_method = "spawn"
    """)  # fmt: skip

    with project.worker("prefork", 1):
        project.send(project.claim("number", "x"))
        project.warm("number", "x", value=1, timeout_s=40)


def test_each_process_of_a_pool_does_its_share(project: Project) -> None:
    """Two children of a prefork worker load at the same time."""
    with project.worker("prefork", 2) as worker:
        project.send(project.claim("slow", "a"), project.claim("slow", "b"))

        loading = {int(project.told("slow")), int(project.told("slow"))}

        assert len(loading) == 2
        assert loading <= set(worker.children())
        project.open("slow", 2)
        project.warm("slow", "a", value=1)
        project.warm("slow", "b", value=1)


def test_a_worker_of_a_broken_project_shows_the_error_of_the_project(project: Project) -> None:
    """A worker whose project does not import ends with the project's own traceback, and nothing of ours."""
    project.write("broken", "def half():\n    return 1 / 0\n\n\nhalf()\n")
    with project.celery("worker", "-P", "solo", name="broken") as worker:
        assert worker.wait(30) == 1

        output = worker.output()
    assert "ZeroDivisionError: division by zero" in output
    assert 'broken.py", line 5, in <module>' in output
    assert "warmer/worker" not in output
    assert "warmer/project" not in output


def test_a_worker_imports_the_plans(project: Project) -> None:
    """Plans run in workers, so a worker imports the package `schedules` beside the project's."""
    project.write("__init__", "", package="schedules")
    project.write(
        "mornings", "from {package}.signs import tell\n\ntell('imported', 'mornings')\n", package="schedules"
    )

    with project.worker("solo"):
        assert project.told("imported") == "mornings"


def test_a_worker_of_no_project_says_where_it_looked(project: Project) -> None:
    """`WARMER_SCHEDULES` with a typing mistake ends the worker with an error that names it."""
    project.write("__init__", (project.folder / project.package / "__init__.py").read_text().replace(
        "redis_url", "schedules='mornigs', redis_url", 1))  # fmt: skip
    with project.celery("worker", "-P", "solo", name="lost") as worker:
        assert worker.wait(30) == 1

        assert "there is no module 'mornigs'" in worker.output()
        assert "Traceback" not in worker.output()
