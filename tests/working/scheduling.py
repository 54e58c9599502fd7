"""Real scheduler processes of a test's project, and one that dies between a claim and its message."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from tests.working.project import Project
from warmer.testing import ChildProcess, python

_numbers = itertools.count(1)

_PROGRAM = """
    import logging
    import sys

    from warmer.project import find_project
    from warmer.scheduler import run

    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s %(message)s")
    namespace = find_project(sys.argv[1])
    logging.info("scheduler starts")
    run(namespace)
    logging.info("scheduler has ended")
"""

_DYING = """
    import os
    import signal
    import sys
    import threading

    from warmer.project import find_project
    from warmer.scheduler.process import Scheduler


    def die(_namespace, claims):
        print("claimed", *(claim.member for claim in claims), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


    Scheduler(find_project(sys.argv[1]), threading.Event(), send=die).run()
"""


@contextmanager
def scheduler(project: Project) -> Iterator[ChildProcess]:
    """A scheduler of the project that has begun."""
    child = described(project)
    with child:
        child.wait_for_line(r"queries, \d+ plans", timeout_s=60)
        yield child


def described(project: Project) -> ChildProcess:
    """The same, not started."""
    return _child(project, _PROGRAM, "scheduler")


def dying(project: Project) -> ChildProcess:
    """A scheduler that is killed right after its first claim, not started."""
    return _child(project, _DYING, "dying_scheduler")


def _child(project: Project, program: str, name: str) -> ChildProcess:
    module = f"run_{name}"
    project.write(module, program, package="programs")
    path = project.folder / "programs" / f"{module}.py"
    return python(path, project.package, cwd=project.folder, name=f"{name}{next(_numbers)}")
